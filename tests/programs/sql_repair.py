"""Text to SQL: the query is run, and its error sent back to the model until it works."""

from agentvm import agent, llm, tool

LOG: list[str] = []


class QueryError(Exception):
    """The database refused a query."""

    def __init__(self, query: str, position: int) -> None:
        super().__init__(f"syntax error in {query!r}")
        self.query = query
        self.position = position


@tool(effect="read")
async def execute(query: str) -> list[int]:
    """Rows, or a QueryError."""
    if "SELEC " in query:
        raise QueryError(query, query.index("SELEC "))
    return [len(query)]


@agent
async def text_to_sql(question: str, attempts: int = 3) -> dict[str, object]:
    query = await llm(f"SQL for {question}")
    errors: list[str] = []
    for attempt in range(attempts):
        try:
            rows = await execute(query)
        except QueryError as error:
            errors.append(f"{attempt}:{error.position}:{error}")
            query = await llm(f"Repair {query}: {error}")
            continue
        return {"rows": rows, "errors": errors, "query": query}
    raise QueryError(query, -1)


def script(call):
    if call.prompt.startswith("SQL"):
        return "SELECT 1" if "easy" in call.prompt else "SELEC SELEC 1"
    query = call.prompt.removeprefix("Repair ").split(":")[0]
    return query.replace("SELEC ", "SELECT ", 1)


CASES = [
    (text_to_sql, ("easy",), {}),
    (text_to_sql, ("hard",), {}),
    (text_to_sql, ("hard", 1), {}),
    (text_to_sql, ("hard", 0), {}),
]
