"""Model bundles: the files of a model, read, verified and written."""
