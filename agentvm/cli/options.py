"""Options that several commands share."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agentvm_runtime.budgets import Budget

Target = Annotated[
    str,
    typer.Argument(
        metavar="FILE.py:AGENT", help="The agent: FILE.py:NAME or module:NAME.", show_default=False
    ),
]
RunId = Annotated[
    str, typer.Argument(metavar="RUN", help="The run's id, or its beginning if that is unique.")
]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="Where runs are kept: an SQLAlchemy URL, such as sqlite+aiosqlite:///runs.db. "
        "Default: AGENTVM_STORE, else a file in the user's data folder.",
        show_default=False,
    ),
]
Durability = Annotated[
    str | None,
    typer.Option(
        "--durability",
        metavar="MODE",
        help="What may be lost with the process: strict (nothing recorded), group (a few results, never a "
        "write) or exit (all since the last write). Default: what the store's URL says, else group.",
        show_default=False,
    ),
]
Llm = Annotated[
    str | None,
    typer.Option(
        "--llm",
        metavar="SPEC",
        help="The model: vllm:MODEL_OR_PATH, openai:BASE_URL#MODEL, sim:PROFILE (a simulated GPU, answers "
        "made up), or scripted:FILE.py:NAME for a test double. Default: AGENTVM_LLM, else vllm:smollm2-135m.",
        show_default=False,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output and nothing else there.")
]
NoMemo = Annotated[
    bool, typer.Option("--no-memo", help="Neither use nor leave results that runs share with each other.")
]


BudgetText = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="LIMITS",
        help="What the run may use: tokens=N,calls=N,seconds=N,cost=N, or some of these.",
    ),
]
Prices = Annotated[
    Path | None,
    typer.Option(
        "--prices",
        metavar="FILE",
        envvar="AGENTVM_PRICES",
        help='Prices for a budget of cost, for a million tokens: {"MODEL": {"input": 1, "output": 4}}.',
    ),
]


def budget_of(text: str | None, prices: Path | None) -> Budget | None:
    """The budget that the options give. Raises InputError or ConfigError."""
    from agentvm_compiler.errors import InputError
    from agentvm_runtime.budgets import Budget

    if text is None:
        return None
    try:
        pairs = [each.split("=") for each in text.split(",")]
        limits = {name.strip(): float(value) if "." in value else int(value) for name, value in pairs}
        data = json.loads(prices.read_text()) if prices is not None else {}
    except (ValueError, OSError) as error:
        raise InputError(f"--budget {text}: {error}. Write it as calls=20,tokens=10000") from None
    return Budget.from_json({**limits, **({"prices": data} if data else {})})


def resume_command(run_id: str, store: str | None) -> str:
    """What the user types to go on with a run."""
    return f"agentvm resume {run_id}" + store_option(store)


def store_option(store: str | None) -> str:
    """The option that names a store, with a blank before it; empty for the default one."""
    return f" --store {shlex.quote(store)}" if store else ""
