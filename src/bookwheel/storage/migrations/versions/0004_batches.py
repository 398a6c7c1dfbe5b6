"""Batches."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TIMES = ("finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at")


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False, autoincrement=True),
        sa.Column("batch_id", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("input_file_id", sa.String(64), nullable=False),
        sa.Column("endpoint", sa.String(64), nullable=False),
        sa.Column("completion_window", sa.String(16), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("metadata", sa.Text),
        sa.Column("callback_url", sa.Text),
        sa.Column("callback_pending", sa.Boolean, nullable=False),
        sa.Column("output_seconds", sa.BigInteger),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("errors", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("in_progress_at", sa.BigInteger),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.BigInteger) for name in _TIMES),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("total", "completed", "failed")),
        sa.Column("output_file_id", sa.String(64)),
        sa.Column("error_file_id", sa.String(64)),
        sa.PrimaryKeyConstraint("sequence", name="pk_batches"),
        sa.UniqueConstraint("batch_id", name="uq_batches_batch_id"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name="fk_batches_account_id_accounts"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_batches_account_id_created_at_sequence", "batches", ["account_id", "created_at", "sequence"])
    op.create_index("ix_batches_status", "batches", ["status"])


def downgrade() -> None:
    op.drop_table("batches")
