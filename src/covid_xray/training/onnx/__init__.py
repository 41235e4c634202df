"""Export networks to ONNX."""
