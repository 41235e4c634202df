"""Check requests before the routes see them, and answer errors."""
