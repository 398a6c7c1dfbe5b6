"""Files are found by what they hold, those that come with questions."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_files_account_id_sha256", "files", ["account_id", "sha256"])


def downgrade() -> None:
    op.drop_index("ix_files_account_id_sha256", "files")
