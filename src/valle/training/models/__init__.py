"""The neural networks in PyTorch, as they are trained; `training.export` writes them as graphs."""
