"""Turn a stored study into texts, PNG and PDF."""
