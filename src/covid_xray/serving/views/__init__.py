"""What pages, pictures and printed reports show of a stored study."""
