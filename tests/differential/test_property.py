"""Property: whatever the program, compiled execution is what plain asyncio is.

Hypothesis draws the programs and shrinks what fails to the smallest one it
finds. `make fuzz` runs more of them (`AGENTVM_EXAMPLES`), other ones each time;
without it the programs are the same in every run of the tests.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from .crash import CrashingStore, assert_resumes
from .generate import Generator
from .harness import Case, leaves_coroutines, model, observe_compiled, observe_plain
from .modules import INPUTS, imported

EXAMPLES = int(os.environ.get("AGENTVM_EXAMPLES", "200"))
FUZZING = "AGENTVM_EXAMPLES" in os.environ


@st.composite
def programs(draw: st.DrawFn) -> str:
    """Source of a module whose agent is `program`."""
    return Generator(lambda bound: draw(st.integers(0, bound - 1))).source()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the modules lie while they are imported."""
    return tmp_path_factory.mktemp("programs")


@leaves_coroutines
@given(
    source=programs(),
    number=st.integers(0, len(INPUTS) - 1),
    seed=st.none() | st.integers(0, 1000),
    share=st.integers(0, 100),
)
@example(source=Generator.seeded(0).source(), number=0, seed=None, share=50)
@settings(
    max_examples=EXAMPLES,
    derandomize=not FUZZING,
    suppress_health_check=list(HealthCheck),
    deadline=None,
)
async def test_compiled_and_resumed_is_plain(folder, source, number, seed, share):
    """Result or exception, writes, their order and output are Python's, whatever the order of answers.

    So they are after a stop once `share` percent of the journal are written.
    """
    note(source[source.index("async def program") :])
    with imported(source, f"agentvm_{hashlib.sha256(source.encode()).hexdigest()[:16]}", folder) as module:
        case = Case(module, number)
        plain = await observe_plain(case, model(case))
        store = CrashingStore()
        compiled = await observe_compiled(case, model(case, seed), store)
        assert compiled.visible == plain.visible
        with redirect_stdout(StringIO()):
            await assert_resumes(case, store.appended * share // 100, plain.outcome, plain.log, seed)
