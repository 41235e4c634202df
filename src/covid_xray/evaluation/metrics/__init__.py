"""Compute metrics with intervals."""
