"""The tables. Every one has an `account_id`; migrations in `storage/migrations` make them, a test compares the two."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, MetaData, String, Table, Text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

_SEQUENCE = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only in an INTEGER key

accounts = Table(
    "accounts",
    metadata,
    Column("account_id", String(64), primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("file_count", BigInteger, nullable=False),
    Column("file_bytes", BigInteger, nullable=False),
)

files = Table(
    "files",
    metadata,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("file_id", String(64), nullable=False, unique=True),
    Column("account_id", String(64), ForeignKey("accounts.account_id"), nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("filename", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("status", String(16), nullable=False),
    Column("status_details", Text),
    Column("attempts", Integer, nullable=False),
    Column("file_type", String(16)),
    Column("characters", BigInteger),
    Column("tokens", BigInteger),
    Column("report", Text),
    Index(None, "account_id", "created_at", "sequence"),
    Index(None, "account_id", "purpose", "created_at", "sequence"),
    Index(None, "account_id", "sha256"),
    Index(None, "status"),
    Index(None, "expires_at"),
    sqlite_autoincrement=True,
)

batches = Table(
    "batches",
    metadata,
    Column("sequence", _SEQUENCE, primary_key=True, autoincrement=True),
    Column("batch_id", String(64), nullable=False, unique=True),
    Column("account_id", String(64), ForeignKey("accounts.account_id"), nullable=False),
    Column("input_file_id", String(64), nullable=False),
    Column("endpoint", String(64), nullable=False),
    Column("completion_window", String(16), nullable=False),
    Column("name", Text, nullable=False),
    Column("metadata", Text),
    Column("callback_url", Text),
    Column("callback_pending", Boolean, nullable=False),
    Column("output_seconds", BigInteger),
    Column("status", String(16), nullable=False),
    Column("model", Text),
    Column("errors", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("in_progress_at", BigInteger),
    Column("expires_at", BigInteger, nullable=False),
    Column("finalizing_at", BigInteger),
    Column("completed_at", BigInteger),
    Column("failed_at", BigInteger),
    Column("expired_at", BigInteger),
    Column("cancelling_at", BigInteger),
    Column("cancelled_at", BigInteger),
    Column("total", Integer, nullable=False),
    Column("completed", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("output_file_id", String(64)),
    Column("error_file_id", String(64)),
    Index(None, "account_id", "created_at", "sequence"),
    Index(None, "status"),
    sqlite_autoincrement=True,
)
