"""The one artefact: ONNX and JSON in, findings and heat maps out."""
