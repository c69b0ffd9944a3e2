"""An SQL agent that links the question to tables and columns before it writes, checks and runs the query."""

import sqlite3

from agentvm import agent, llm, tool

LOG: list[str] = []
SCHEMA = {"users": ["id", "name"], "orders": ["id", "user", "total"], "audit": ["at"]}
ROWS = ["INSERT INTO users VALUES (1, 'ann'), (2, 'bob')", "INSERT INTO orders VALUES (1, 1, 10), (2, 1, 5)"]


@tool(effect="read")
async def query(sql: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(":memory:") as database:
        for table, columns in SCHEMA.items():
            database.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
        for statement in ROWS:
            database.execute(statement)
        return database.execute(sql).fetchall()


@agent
async def link(question: str) -> dict[str, list[str]]:
    relevant = {table: await llm(f"Does {question!r} need {table}?") for table in SCHEMA}
    tables = [table for table, answer in relevant.items() if answer == "yes"]
    return {
        table: [name for name in SCHEMA[table] if await llm(f"{question!r} needs {table}.{name}?") == "yes"]
        for table in tables
    }


@agent
async def ask(question: str, repairs: int = 2) -> str:
    linked = await link(question)
    if not linked:
        return "no table has this"
    sql = await llm(f"SQL for {question} on {linked}")
    rows = None
    while rows is None:
        if not sql.upper().startswith("SELECT"):
            raise PermissionError(sql)
        try:
            rows = await query(sql)
        except sqlite3.OperationalError as error:
            if repairs <= 0:
                raise RuntimeError(f"gave up on {sql}") from error
            repairs -= 1
            sql = await llm(f"Repair {sql}: {error}")
    return await llm(f"Answer {question} from {rows}")


def script(call):
    if call.prompt.startswith("Does"):
        return "yes" if "spend" in call.prompt and "audit" not in call.prompt else "no"
    if "needs" in call.prompt:
        return "no" if call.prompt.endswith(".id?") else "yes"
    if call.prompt.startswith("SQL"):
        return "DROP TABLE users" if "drop" in call.prompt else "SELECT sum(totl) FROM orders"
    return call.prompt.replace("Repair ", "").split(":")[0].replace("totl", "total")


CASES = [
    (ask, ("What did ann spend?",), {}),
    (ask, ("What did ann spend?", 0), {}),
    (ask, ("drop what they spend",), {}),
    (ask, ("Who sleeps?",), {}),
]
