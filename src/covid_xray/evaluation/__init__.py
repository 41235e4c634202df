"""Bundle and manifest in, numbers, figures and the report out."""
