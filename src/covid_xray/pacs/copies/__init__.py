"""Make de-identified copies of radiographs."""
