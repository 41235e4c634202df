"""Check a data set for known pitfalls."""
