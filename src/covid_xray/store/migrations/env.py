"""Run the migrations in the transaction that `Database` has begun; called by alembic."""

from alembic import context

from covid_xray.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
