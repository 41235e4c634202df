"""Chest X-rays as COVID-19, normal or viral pneumonia. For research, never for diagnosis."""

__version__ = "0.1.0"
