"""What is measured of a bundle: one protocol per file."""
