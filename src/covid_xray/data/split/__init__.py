"""Split a manifest by patient and by copy."""
