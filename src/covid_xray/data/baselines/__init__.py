"""Score simple models on everything but the lungs."""
