"""Measure what clinical values add to the image."""
