"""Profiles of agents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "profiles",
        sa.Column("agent", sa.String, primary_key=True),
        sa.Column("profile", sa.Text, nullable=False),
    )
