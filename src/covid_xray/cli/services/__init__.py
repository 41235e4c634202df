"""Commands that serve: web page, DICOM node, large archives."""
