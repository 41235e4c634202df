"""Measure each claim of speed or quality against its peer: `python -m benchmarks.NAME`, from the repository's root."""
