"""Check a bundle on a hospital's own images: local acceptance testing."""
