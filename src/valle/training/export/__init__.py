"""Export of trained models as ONNX bundles, and import of bundles."""
