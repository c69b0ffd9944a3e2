"""Runs are found by their status, events by their path."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_index("runs_by_status", "runs", ["status", "created_at", "id"])
    op.create_index("events_by_path", "events", ["run_id", "path"])
