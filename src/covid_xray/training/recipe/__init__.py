"""Choose which layers train when and how fast, when to stop, and from which networks to learn."""
