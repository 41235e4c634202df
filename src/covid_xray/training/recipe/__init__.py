"""Choose which layers train when and how fast, at which rate to begin, and from whom to learn."""
