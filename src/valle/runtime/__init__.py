"""The networks running, on numpy and ONNX Runtime alone."""
