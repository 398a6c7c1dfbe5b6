"""What was found in a file, as JSON beside its row."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("files", sa.Column("report", sa.Text))


def downgrade() -> None:
    op.drop_column("files", "report")
