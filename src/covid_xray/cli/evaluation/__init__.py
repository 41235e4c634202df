"""Commands that evaluate a network."""
