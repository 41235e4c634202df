"""Read files and tables into a manifest, one row for each image."""
