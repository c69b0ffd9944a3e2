"""Defaults: where runs are kept and which model answers, unless told otherwise.

An option wins over its environment variable, which wins over the default.
Nothing here touches the disk.
"""

from __future__ import annotations

import os
from pathlib import Path

STORE_VARIABLE = "AGENTVM_STORE"
LLM_VARIABLE = "AGENTVM_LLM"

DEFAULT_LLM = "vllm:smollm2-135m"


def data_folder() -> Path:
    """The user's folder for AgentVM's data; it may not exist yet."""
    from platformdirs import user_data_path

    return user_data_path("agentvm", appauthor=False)


def default_store() -> str:
    """URL of the default store: `AGENTVM_STORE`, else an SQLite file of the user."""
    return os.environ.get(STORE_VARIABLE) or f"sqlite+aiosqlite:///{data_folder() / 'runs.db'}"


def default_llm() -> str:
    """Spec of the default model: `AGENTVM_LLM`, else the small model on an embedded vLLM."""
    return os.environ.get(LLM_VARIABLE) or DEFAULT_LLM
