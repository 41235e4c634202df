"""Score archives, cross-validate, tune and train on many processes or machines: locally or on Ray."""
