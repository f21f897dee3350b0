"""Alembic's entry: runs the migrations on the connection it is given, in that connection's transaction."""

from alembic import context

from connectors.database.models import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    compare_type=True,
    render_as_batch=True,  # SQLite cannot alter a column in place
)
context.run_migrations()
