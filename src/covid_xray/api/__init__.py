"""Use covid-xray from Python and notebooks."""
