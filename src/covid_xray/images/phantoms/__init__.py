"""Draw synthetic chest radiographs."""
