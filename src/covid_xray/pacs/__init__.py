"""Run a DICOM network node: receive radiographs, classify them and send result objects to an archive."""
