"""The first schema: runs, their journals, values, the memo, leases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("agent", sa.String, nullable=False),
        sa.Column("program", sa.String, nullable=False),
        sa.Column("inputs", sa.String, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("deadline_at", sa.Double),
        sa.Column("finished_at", sa.Double),
        sa.Column("result", sa.String),
        sa.Column("error", sa.String),
        sa.Column("parent", sa.String),
        sa.Column("meta", sa.Text, nullable=False),
    )
    op.create_index("runs_by_time", "runs", ["created_at", "id"])
    op.create_index("runs_by_agent", "runs", ["agent", "created_at"])
    op.create_index("runs_by_parent", "runs", ["parent"])
    op.create_table(
        "events",
        sa.Column("run_id", sa.String, primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("path", sa.String, nullable=False),
        sa.Column("site", sa.String, nullable=False),
        sa.Column("node", sa.String, nullable=False),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("value", sa.String),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("finished_at", sa.Double, nullable=False),
        sa.Column("detail", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "values",
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("coding", sa.SmallInteger, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "memo",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("path", sa.String, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
    )
    op.create_table(
        "leases",
        sa.Column("run_id", sa.String, primary_key=True),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
    )
