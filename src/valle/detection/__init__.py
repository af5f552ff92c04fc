"""Whether a recording was made by a machine, and what is known of a file."""
