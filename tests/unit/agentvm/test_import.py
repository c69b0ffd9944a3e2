"""What `import agentvm` may load."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "vllm",
    "transformers",
    "sqlalchemy",
    "alembic",
    "aiosqlite",
    "asyncpg",
    "sqlite3",
    "cryptography",
    "openai",
)


@pytest.mark.parametrize("module", ["agentvm", "agentvm.models", "agentvm.doctor"])
def test_import_loads_nothing_heavy(module: str) -> None:
    """Neither engine, nor model libraries, nor a database driver comes with the package."""
    code = f"import sys, {module}; print(*(m for m in {HEAVY} if m in sys.modules))"
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert done.stdout.split() == []
