"""Files in, a table that one can trust out: manifest, duplicates, split, doctor."""
