"""The neural networks in PyTorch; `training.export` writes them as graphs."""
