"""Read, verify and write bundles: the folders with a network and its facts."""
