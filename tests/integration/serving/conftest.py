"""One real engine for the whole session: it takes most of a minute to start."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from agentvm_serving.backends.vllm import VllmBackend
from agentvm_serving.vllm import LOG_VARIABLE
from agentvm_serving.vllm.environment import vllm_version


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def model_folder() -> Path:
    """The small model, or a skip that says how to get it."""
    if vllm_version() is None:
        pytest.skip("vLLM is not installed: pip install agentvm[cpu]")
    named = os.environ.get("AGENTVM_TEST_MODEL")
    folder = Path(named) if named else platformdirs.user_cache_path("agentvm") / "models" / "smollm2-135m"
    if not (folder / "config.json").is_file():
        pytest.skip(
            f"no model at {folder}: run `agentvm models fetch smollm2-135m`, or set AGENTVM_TEST_MODEL"
        )
    return folder


class Events:
    """What the scheduler logged."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def of(self, *keys: str) -> list[dict[str, Any]]:
        """Events of the calls with these keys, in the order they happened."""
        events = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [event for event in events if event["key"] in keys]


@pytest.fixture(scope="session")
def events(tmp_path_factory: pytest.TempPathFactory) -> Events:
    """The scheduler's log of the session's engine."""
    return Events(tmp_path_factory.mktemp("engine") / "events.jsonl")


@pytest.fixture(scope="session")
async def engine(model_folder: Path, events: Events) -> AsyncIterator[VllmBackend]:
    """A started engine that serves four requests at a time."""
    backend = VllmBackend(
        str(model_folder),
        arguments=["--max-num-seqs", "4"],
        variables={LOG_VARIABLE: str(events.path)},
        log_folder=events.path.parent,
    )
    await backend.start()
    yield backend
    await backend.aclose()
