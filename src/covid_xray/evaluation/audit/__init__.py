"""Measure how much of a score comes from the lungs, and what the heat maps are worth."""
