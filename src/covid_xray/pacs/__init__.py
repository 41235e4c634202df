"""Into the hospital's archive: DICOM objects in, result objects in the same study out; a network node."""
