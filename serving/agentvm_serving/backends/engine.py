"""One engine as a child process: start it, wait until it serves, end it.

The child is our vLLM server on a Unix socket in a private folder. It holds our
end of a pipe as its standard input and ends with us, even if we are killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio

from agentvm_compiler.errors import BackendError, ConfigError
from agentvm_serving.vllm import SERVER_MODULE
from agentvm_serving.vllm.server import OWNER_FLAG
from agentvm_serving.vllm.watchdog import FOLDER_PREFIX

from .http import client_module
from .uds import unix_transport

KEPT_LOGS = 10
POLL_SECONDS = 0.2
STOP_SECONDS = 15.0


class EngineProcess:
    """A vLLM server that lives as long as we want, and never longer than we do."""

    def __init__(self, arguments: Sequence[str], variables: Mapping[str, str], log: Path) -> None:
        # Not below the log: the path of a Unix socket must stay under 108 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
        self.socket = self._folder / "engine.sock"
        self.log = log
        self._ended = False
        log.parent.mkdir(parents=True, exist_ok=True)
        _forget_old_logs(log.parent)
        # -P: a file of the user's, next to where they stand, must not shadow a module of the engine's.
        server = [sys.executable, "-P", "-m", SERVER_MODULE]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*server, *arguments, "--uds", str(self.socket), OWNER_FLAG],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                # The child must find this very package, installed or not.
                env={**os.environ, **variables, "PYTHONPATH": _python_path()},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id, which is also that of the group and the session."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the server still runs."""
        return self._process.poll() is None

    async def ready(self, limit: float) -> None:
        """Wait until the server answers.

        Raises:
            BackendError: it ended first, or took longer than `limit` seconds.
        """
        http = client_module()
        started = time.monotonic()
        async with http.AsyncClient(transport=self.transport(), base_url="http://engine") as client:
            while True:
                if not self.alive:
                    raise self.death(_failed_stage(self.log))
                # A busy engine may answer late; its death is seen by the next round.
                with contextlib.suppress(http.HTTPError):
                    if (await client.get("/health", timeout=5)).status_code == 200:
                        return
                if time.monotonic() - started > limit:
                    raise BackendError(
                        f"the engine (process {self.pid}) did not serve within {limit:.0f} s. "
                        f"Its log: {self.log}. Give it longer with start_timeout=",
                        transient=True,
                    )
                await anyio.sleep(POLL_SECONDS)

    def transport(self) -> Any:
        """An HTTP transport to the server's socket."""
        return unix_transport(str(self.socket))

    def death(self, what: str) -> BackendError:
        """The error that says why the server ended."""
        code = self._process.poll()
        said = "\n  ".join(last_words(self.log)) or "(it wrote nothing)"
        return BackendError(
            f"the engine {what} (exit status {code}):\n  {said}\nIts whole log: {self.log}",
            transient=code is not None and code < 0,  # killed from outside, mostly for memory
        )

    async def aclose(self) -> None:
        """End the server and all it started. Idempotent."""
        if self._process.stdin is not None:
            self._process.stdin.close()  # its watchdog ends the group: gently, then not
        with anyio.CancelScope(shield=True):
            with contextlib.suppress(subprocess.TimeoutExpired):
                await anyio.to_thread.run_sync(self._process.wait, STOP_SECONDS)
            self.kill()

    def kill(self) -> None:
        """End the server's whole group at once, and remove its folder. Idempotent."""
        if self._ended:
            return  # the kernel may have given the number to somebody else since
        self._ended = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def last_words(log: Path, lines: int = 8) -> list[str]:
    """The lines of an engine's log that say why it ended, without its prefixes and tracebacks."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    plain = [_PREFIX.sub("", line).strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in plain if _TELLING.search(line) and not _NOISE.search(line)]
    return list(dict.fromkeys(telling or plain))[-lines:]


def _failed_stage(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace")
    if "Starting to load model" in text and "Loading weights took" not in text:
        return "could not load the model's weights; if its files are not whole, fetch it again"
    return "could not start"


_PREFIX = re.compile(r"^(\([^)]*pid=\d+\) )?((ERROR|WARNING|INFO) [\d-]+ [\d:]+ \[[^]]*\] ?)?")
_TELLING = re.compile(
    r"^(\w+\.)*\w*(Error|Exception|Exit)\b:? |No space|Killed|out of memory|^error:|AgentVM"
)
_NOISE = re.compile(r"Engine core initialization failed|initialization failed due to|^File |AgentVM orders")


def _forget_old_logs(folder: Path) -> None:
    for old in sorted(folder.glob("*.log"))[: -(KEPT_LOGS - 1)]:
        old.unlink(missing_ok=True)


def _python_path() -> str:
    import agentvm_compiler

    ours = [Path(__file__).parents[2], Path(next(iter(agentvm_compiler.__path__))).parent]
    # Installed, it is found anyway, and site-packages must not come before the standard library.
    added = [str(folder) for folder in ours if folder.name not in ("site-packages", "dist-packages")]
    return os.pathsep.join([*added, *filter(None, [os.environ.get("PYTHONPATH")])])


def require_vllm() -> None:
    """Raises ConfigError, with the remedy, where no vLLM is installed."""
    from agentvm_serving.vllm.environment import vllm_version

    if vllm_version() is None:
        raise ConfigError(
            "no vLLM is installed, so models cannot be served here. Install one with "
            "`pip install agentvm[cpu]` or `pip install agentvm[cuda]`, or use an endpoint: "
            "--llm openai:BASE_URL#MODEL"
        )
