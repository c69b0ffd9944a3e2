"""Coding: write a function, run its tests in a sandbox, repair it until they pass.

    agentvm run examples/coding_agent.py:solve -i task="Write add(a, b)." -i 'tests=assert add(2, 3) == 5'

The tests run in a process of their own with limits on time and memory. What they
say depends on the code and nothing else, so the tool is `pure`: the same code is
never tried twice, in this run, a fork of it or any other.
"""

import re
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from agentvm import agent, llm, tool

SECONDS = 5
MEMORY = 512 * 1024 * 1024


@dataclass
class Solution:
    code: str
    passed: bool
    attempts: int
    told: str
    """What the tests printed last."""


def limited() -> None:
    """Bound the child process. Limits, no jail: for code of strangers use a container."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))


@tool(effect="pure", timeout="30s", limit=2)
def run_tests(code: str, tests: str) -> str:
    """Run the tests; the empty string if they pass, else what they print."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-I", "-c", f"{code}\n\n{tests}\n"],
            cwd=folder,
            env={},
            capture_output=True,
            text=True,
            preexec_fn=limited,
        )
    return "" if done.returncode == 0 else (done.stderr or f"exit code {done.returncode}")[-800:]


def code_of(answer: str) -> str:
    """The code of an answer, without the words around it."""
    fenced = re.search(r"```(?:python)?\n(.*?)```", answer, re.DOTALL)
    return (fenced[1] if fenced else answer).strip()


@agent(deadline="5m")
async def solve(task: str, tests: str, attempts: int = 3) -> Solution:
    """Code that passes the tests, or the last attempt at it."""
    ask = f"Write Python code, no words. {task}\nIt must pass:\n{tests}"
    code = code_of(await llm(ask, temperature=0, max_tokens=300))
    told = run_tests(code, tests)
    made = 1
    while told and made < attempts:
        ask = f"Mend this code, no words.\n{code}\n\nIts tests:\n{tests}\n\nThey say:\n{told}"
        code = code_of(await llm(ask, temperature=0.7, max_tokens=300))
        told = run_tests(code, tests)
        made += 1
    return Solution(code, not told, made, told)
