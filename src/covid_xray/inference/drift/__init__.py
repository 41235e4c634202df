"""Notice that the images or answers of a hospital have changed: what is kept of an image, and the tests."""
