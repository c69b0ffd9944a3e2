"""Data cleaning: rows are normalised by rules the model proposes, until no row is dirty or nothing helps."""

from typing import TypedDict

from agentvm import agent, llm, tool

LOG: list[str] = []


class Row(TypedDict):
    name: str
    age: str


@tool
async def store(rows: list[Row]) -> int:
    LOG.extend(f"{row['name']},{row['age']}" for row in rows)
    return len(rows)


def dirty(row: Row) -> list[str]:
    problems = []
    if row["name"] != row["name"].strip().title():
        problems.append("name")
    if not row["age"].isdigit():
        problems.append("age")
    return problems


async def fixed(row: Row) -> Row:
    """The row with its first dirty field rewritten by the model."""
    for name in dirty(row):
        value = await llm(f"Clean {name}: {row[name]!r}")
        return Row(**{**row, name: value})
    return row


@agent
async def clean(rows: list[Row], rounds: int = 4) -> tuple[int, list[Row]]:
    for _ in range(rounds):
        before = [len(dirty(row)) for row in rows]
        if not sum(before):
            break
        rows = [await fixed(row) for row in rows]
        if [len(dirty(row)) for row in rows] == before:
            break
    good = [row for row in rows if not dirty(row)]
    bad = [row for row in rows if dirty(row)]
    stored = await store(good) if good else 0
    return stored, bad


def script(call):
    field, _, value = call.prompt.removeprefix("Clean ").partition(": ")
    value = value.strip("'")
    if field == "name":
        return value.strip().title()
    return {"forty": "40", "n/a": "n/a"}.get(value, "1")


ROWS = [Row(name=" ann", age="forty"), Row(name="Bob", age="12"), Row(name="Eve", age="n/a")]
CASES = [(clean, (ROWS,), {}), (clean, (ROWS, 1), {}), (clean, ([],), {})]
