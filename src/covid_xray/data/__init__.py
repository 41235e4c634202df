"""Read, check and split data sets of chest X-rays."""
