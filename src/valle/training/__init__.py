"""Training half: PyTorch lives here and nowhere else."""
