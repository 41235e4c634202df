"""Classify radiographs with a bundle, on ONNX Runtime; never imports TensorFlow."""
