"""Fit the head of a frozen network."""
