"""While values are collected, what refers to them from within texts stands in a table."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table("roots", sa.Column("digest", sa.String, primary_key=True))
