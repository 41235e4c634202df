"""Fit the input gate of a bundle."""
