"""What SQLite and PostgreSQL stores have in common: everything but how a database is reached.

*Works* (functions of a transaction) go through one group-committing writer;
reads go beside it, over a connection of their own, and see all that was
appended before them through the same store.
"""

from __future__ import annotations

from .journals import Journals
from .leasing import Leases
from .reading import Queries, Reader
from .runs import Runs

__all__ = ["Queries", "Reader", "SqlStore"]


class SqlStore(Runs, Journals, Leases):
    """A store over a writer and a reader, which `_connect` makes."""
