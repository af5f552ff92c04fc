"""Detection of synthetic speech, and a report on any audio file."""
