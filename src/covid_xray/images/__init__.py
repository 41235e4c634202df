"""Untrusted bytes in, one grey radiograph out."""
