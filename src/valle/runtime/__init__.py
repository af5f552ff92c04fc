"""The neural networks at inference, on numpy and ONNX Runtime alone."""
