"""Score plain models on what is not lung."""
