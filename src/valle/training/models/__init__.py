"""The neural networks that training fits and the exporter turns into graphs."""
