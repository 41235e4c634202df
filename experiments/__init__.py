"""Studies behind the published figures: `python -m experiments.NAME`, from the repository's root."""
