"""Long runs: ten thousand nodes in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, sys
from agentvm import AgentVM, agent, tool
from agentvm.testing import ScriptedLLM
from benchmarks.memory import peak

@tool(effect="read")
async def note(number: int) -> str:
    return f"{number:100}"

@agent
async def chain(count: int) -> int:
    number = 0
    for _ in range(count):
        number = int(await note(number)) + 1
    return number

@agent
async def fan(count: int) -> list[str]:
    return [await note(number) for number in range(count)]

async def main(url, count):
    async with AgentVM(store=url, llm=ScriptedLLM("unused")) as vm:
        for program, wanted in ((chain, count), (fan, [f"{number:100}" for number in range(count)])):
            run = await vm.start(program, count)
            assert await run.result() == wanted
            done = [each for each in await vm.store.events(run.id) if "note" in each.site]
            assert len(done) == count
        print(peak() / (1 << 20))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read the peak from")
def test_ten_thousand_nodes_in_a_row_and_at_once_take_less_than_500_mb(tmp_path: Path) -> None:
    """Both in one process, with its imports; every node is in the journal and the answers are right."""
    program = tmp_path / "long.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, program, f"sqlite+aiosqlite:///{tmp_path}/runs.db", "10000"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 500
