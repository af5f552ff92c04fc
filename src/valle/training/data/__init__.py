"""What the models are trained on: examples, segments, labels."""
