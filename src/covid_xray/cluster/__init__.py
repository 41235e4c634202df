"""Archives larger than one machine: scoring, cross-validation and search for settings, on one machine or on Ray."""
