"""Keep a bounded sample of answers in the store and test it for drift."""
