"""Commands that classify images with a bundle."""
