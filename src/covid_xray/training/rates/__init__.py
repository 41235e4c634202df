"""Find a learning rate to begin with."""
