"""What alembic runs to migrate: over the connection it is handed, in that connection's transaction."""

from alembic import context

from bookwheel.storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
