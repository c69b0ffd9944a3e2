"""`agentvm ui` as a process: it serves the page, on this machine, also where there is no model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]


def test_the_page_is_there_without_agents_and_without_a_model(tmp_path: Path) -> None:
    """It says where the page is; the page and the runs can be had; Ctrl-C ends it in order."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENTVM_")}
    paths = [str(ROOT), *(str(ROOT / each) for each in ("compiler", "runtime", "serving"))]
    homes = {name: str(tmp_path) for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")}
    store = f"sqlite+aiosqlite:///{tmp_path}/runs.db"
    process = subprocess.Popen(
        [sys.executable, "-m", "agentvm", "ui", "--no-open", "--port", "0", "--store", store],
        env=kept | homes | {"PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        url = process.stderr.readline().removeprefix("The page: ").strip()
        answer = httpx.get(url, follow_redirects=True, timeout=60)
        assert answer.status_code == 200 and "<title>AgentVM</title>" in answer.text
        assert httpx.get(f"{url}v1/runs", timeout=60).json()["runs"] == []
        process.send_signal(signal.SIGINT)
        assert "Stopped." in process.stderr.read()
        assert process.wait(600) == 0
    finally:
        process.kill()
        process.wait()
