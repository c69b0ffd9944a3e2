"""Fixtures every test may use."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# Speed is for benchmarks: a busy machine must not fail a test.
settings.register_profile("agentvm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("agentvm")


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio only, as AgentVM does."""
    return "asyncio"
