"""A model's files: read, checked, written."""
