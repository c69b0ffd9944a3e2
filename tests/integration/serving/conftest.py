"""One real engine for all tests that can share it: it takes most of a minute to start."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from agentvm_serving.backends.vllm import VllmBackend
from agentvm_serving.vllm import LOG_VARIABLE

from . import shaken


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
    """The scheduler's log of the engine."""
    return Events(tmp_path_factory.mktemp("engine") / "events.jsonl")


@pytest.fixture(scope="session")
def engine(model_folder: Path, events: Events) -> Iterator[VllmBackend]:
    """A started engine that serves four requests at a time, and 256 tokens in a step.

    It belongs to no event loop, so that the modules that use it may each have their own.
    """
    backend = VllmBackend(
        str(model_folder),
        arguments=["--max-num-seqs", "4", "--max-num-batched-tokens", "256"],
        variables={LOG_VARIABLE: str(events.path)},
        log_folder=events.path.parent,
    )
    anyio.run(backend.start)
    yield backend
    anyio.run(backend.aclose)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as long as requests of the `strict` engine were paused often."""
    return tmp_path_factory.mktemp("held") / "held"


@pytest.fixture(scope="module")
async def strict(
    model_folder: Path, tmp_path_factory: pytest.TempPathFactory, held: Path
) -> AsyncIterator[VllmBackend]:
    """An engine that speculates, pauses requests, has memory for 288 tokens, and rejects what is hopeless."""
    speculation = {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 3}
    memory = ["--block-size", "32", "--num-gpu-blocks-override", "10", "--max-model-len", "256"]
    backend = VllmBackend(
        str(model_folder),
        policy="jit",
        on_hopeless="reject",
        arguments=[
            *memory,
            "--speculative-config",
            json.dumps(speculation),
            "--scheduler-cls",
            "shaken.create",
        ],
        variables={shaken.HELD_VARIABLE: str(held)},
        log_folder=tmp_path_factory.mktemp("strict"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(shaken.__file__).parent), prepend=os.pathsep)
        await backend.start()
    yield backend
    await backend.aclose()
