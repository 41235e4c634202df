"""Migrate the tables from one version to the next (alembic); opening a database runs it."""
