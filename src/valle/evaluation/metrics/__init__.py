"""What is measured of speech, and how sure a figure is."""
