"""Random programs: compiled, resumed after a stop, and plain, they do the same.

More of them: `AGENTVM_PROGRAMS=1000:3000 pytest tests/differential/test_generated.py`.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from .crash import assert_resumes, events_of_a_whole_run, points
from .generate import Generator
from .harness import Case, model, observe_compiled, observe_plain

FIRST, LAST = map(int, os.environ.get("AGENTVM_PROGRAMS", "0:120").split(":"))
INPUTS: tuple[tuple[Any, ...], ...] = ((4, "hey", ["x", "yy"]), (0, "", []))


def script(call: Any) -> Any:
    """An answer that depends on the prompt and does not grow with it."""
    if call.returns is int:
        return len(call.prompt) % 5
    return ("z" if sum(map(ord, call.prompt)) % 2 else "b") + call.prompt[-12:]


@pytest.fixture
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """The module of the program of a seed."""
    name = f"agentvm_generated_{request.param}"
    file = tmp_path / f"{name}.py"
    file.write_text(Generator(request.param).source())
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    module.CASES = [(module.program, inputs, {}) for inputs in INPUTS]
    module.script = script
    yield module
    del sys.modules[name]


@pytest.mark.parametrize("program", range(FIRST, LAST), indirect=True)
async def test_a_random_program_does_what_python_does(program):
    """Outcome, writes and output are Python's, at once, out of order, and after a crash."""
    for number in range(len(INPUTS)):
        case = Case(program, number)
        plain = await observe_plain(case, model(case))
        for seed in (None, number + 1):
            compiled = await observe_compiled(case, model(case, seed))
            assert compiled.visible == plain.visible
        with redirect_stdout(StringIO()):
            for point in points(await events_of_a_whole_run(case)):
                await assert_resumes(case, point, plain.outcome, plain.log)
