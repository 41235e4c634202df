"""Store studies, images, accounts and the audit log, in SQLite or PostgreSQL."""
