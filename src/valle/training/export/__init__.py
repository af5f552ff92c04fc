"""Export of trained models as a bundle of ONNX graphs, and import back into training runs."""
