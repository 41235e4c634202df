"""Read the file of one hospital and apply what was found there to answers."""
