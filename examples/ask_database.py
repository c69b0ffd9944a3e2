"""Text to SQL: a question about a real SQLite database, with repair.

    python examples/ask_database.py /tmp/shop.db                      # makes a small shop
    agentvm run examples/ask_database.py:ask -i database=/tmp/shop.db -i question="How many orders are open?"

The query runs on a connection that can only read, and stops after a while: a model
may write what it likes. An error of the database goes back to the model.
"""

import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from agentvm import agent, llm, tool

Sql = Annotated[str, Field(pattern=r"^SELECT [^;]{1,300}$")]
SECONDS = 2.0


@dataclass
class Answer:
    text: str
    sql: str
    rows: list[list[Any]]


def reading(database: str) -> sqlite3.Connection:
    """A connection that cannot write, and gives up on a query that takes too long."""
    connection = sqlite3.connect(f"{Path(database).resolve().as_uri()}?mode=ro", uri=True)
    ends = time.monotonic() + SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > ends, 10_000)
    return connection


@tool(effect="read")
def schema_of(database: str) -> str:
    """The statements that made the tables."""
    with closing(reading(database)) as connection:
        return "\n".join(
            sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL")
        )


@tool(effect="read")
def query(database: str, sql: str) -> list[list[Any]]:
    """At most 20 rows. Raises sqlite3.Error."""
    with closing(reading(database)) as connection:
        return [list(row) for row in connection.execute(sql).fetchmany(20)]


@agent(deadline="2m")
async def ask(database: str, question: str, attempts: int = 3) -> Answer:
    """The answer to a question, with the query and the rows it is based on."""
    tables = schema_of(database)
    told = ""
    for _ in range(attempts):
        prompt = f"Tables:\n{tables}\n\nWrite one SQLite query. Question: {question}{told}"
        sql = await llm(prompt, returns=Sql, temperature=0, max_tokens=120)
        try:
            rows = query(database, sql)
        except sqlite3.Error as error:
            told = f"\n\nThis query failed: {sql}\nError: {error}"
            continue
        text = await llm(
            f"Question: {question}\nRows: {rows}\nAnswer in one sentence.", temperature=0, max_tokens=60
        )
        return Answer(text, sql, rows)
    raise ValueError(f"no query worked:{told}")


def make_shop(database: str) -> None:
    """A small shop to ask about."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(
            """
            CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT);
            CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, total REAL, open INTEGER);
            INSERT INTO customers VALUES (1, 'Ada', 'London'), (2, 'Grace', 'York'), (3, 'Kurt', 'Vienna');
            INSERT INTO orders VALUES (1, 1, 19.5, 0), (2, 1, 5.0, 1), (3, 2, 120.0, 1), (4, 3, 8.25, 0);
            """
        )


if __name__ == "__main__":
    make_shop(sys.argv[1])
