"""Pages of samples, with pictures and each clip's own check."""
