"""Make the DICOM result objects of an image."""
