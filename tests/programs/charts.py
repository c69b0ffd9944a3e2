"""Chart specifications: the kind of chart decides what else must be asked for, and the spec is validated."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from agentvm import agent, llm, tool

LOG: list[str] = []


class Bar(BaseModel):
    kind: Literal["bar"] = "bar"
    x: str
    y: str


class Pie(BaseModel):
    kind: Literal["pie"] = "pie"
    parts: Annotated[list[str], Field(min_length=2)]


class Table(BaseModel):
    kind: Literal["table"] = "table"
    columns: list[str]


@tool(effect="read")
async def columns_of(dataset: str) -> list[str]:
    return {"sales": ["month", "euros", "region"], "tiny": ["one"]}.get(dataset, [])


@agent
async def chart(dataset: str, wish: str) -> Bar | Pie | Table:
    columns = await columns_of(dataset)
    if not columns:
        raise LookupError(f"no data in {dataset}")
    kind = await llm(f"Kind of chart for {wish} of {columns}")
    match kind:
        case "bar" | "column" if len(columns) >= 2:
            x = await llm(f"X axis for {wish} of {columns}")
            y = await llm(f"Y axis for {wish} of {columns}")
            return Bar(x=x if x in columns else columns[0], y=y if y in columns else columns[-1])
        case "pie":
            parts = await llm(f"Parts for {wish}", returns=list[str])
            return Pie(parts=parts)
        case _:
            return Table(columns=columns)


@agent
async def dashboard(dataset: str, wishes: list[str]) -> list[tuple[str, str]]:
    charts = [await chart(dataset, wish) for wish in wishes]
    titles = [
        await llm(f"Title for {spec.kind} of {wish}") for spec, wish in zip(charts, wishes, strict=True)
    ]
    return [(title, spec.model_dump_json()) for title, spec in zip(titles, charts, strict=True)]


def script(call):
    if call.prompt.startswith("Kind"):
        return next((kind for kind in ("bar", "pie") if kind in call.prompt), "radar")
    if call.returns is not str:
        return ["a", "b"]
    return {"X": "month", "Y": "dollars"}.get(call.prompt[0], call.prompt.upper())


CASES = [
    (dashboard, ("sales", ["bar of months", "pie of regions", "something"]), {}),
    (dashboard, ("tiny", ["bar"]), {}),
    (dashboard, ("none", ["bar"]), {}),
]
