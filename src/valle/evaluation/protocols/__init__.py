"""What is measured of a bundle: one protocol a file."""
