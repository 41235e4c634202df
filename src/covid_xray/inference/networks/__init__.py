"""Run the networks of one or several bundles and make answers of their outputs."""
