"""What a loop gathers is not recorded but gathered again, also where sets and hashes are others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from .gathering import COUNT

PLACES = (1, 17, 18, 30, 45, 59)


def run(seed: int, *given: object) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.gathering", *map(str, given)],
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout or "null")


def test_a_run_goes_on_in_a_process_with_other_hashes(tmp_path: Path):
    """The answer is Python's wherever the run was left, and only calls that had not ended are made."""
    plain = run(1, "plain", tmp_path)
    run(2, "begin", tmp_path, *PLACES)
    for at, (found, calls) in zip(PLACES, run(3, "resume", tmp_path, *PLACES), strict=True):
        assert found == plain
        assert calls == list(range(at, COUNT))
