"""Train the network that joins clinical values to the image."""
