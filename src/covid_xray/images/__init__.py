"""Decode untrusted image files into grey radiographs."""
