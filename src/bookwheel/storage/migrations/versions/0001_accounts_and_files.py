"""Accounts and files."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("file_count", sa.BigInteger, nullable=False),
        sa.Column("file_bytes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_accounts"),
    )
    op.create_table(
        "files",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False, autoincrement=True),
        sa.Column("file_id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("status_details", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("file_type", sa.String(16)),
        sa.Column("characters", sa.BigInteger),
        sa.Column("tokens", sa.BigInteger),
        sa.PrimaryKeyConstraint("sequence", name="pk_files"),
        sa.UniqueConstraint("file_id", name="uq_files_file_id"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name="fk_files_account_id_accounts"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_files_account_id_created_at_sequence", "files", ["account_id", "created_at", "sequence"])
    op.create_index(
        "ix_files_account_id_purpose_created_at_sequence", "files", ["account_id", "purpose", "created_at", "sequence"]
    )
    op.create_index("ix_files_status", "files", ["status"])
    op.create_index("ix_files_expires_at", "files", ["expires_at"])


def downgrade() -> None:
    op.drop_table("files")
    op.drop_table("accounts")
