"""Model backends by spec: what `--llm` and `AgentVM(llm=...)` take as text.

`scripted:FILE.py:NAME` is a test double in a file of the user's; the other
specs (`vllm:MODEL_OR_PATH`, `openai:BASE_URL#MODEL`, `sim:PROFILE`) are the serving layer's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from agentvm_compiler.errors import ConfigError

if TYPE_CHECKING:
    from agentvm_runtime.ports import ModelBackend

SCRIPTED = "scripted:"


def open_llm(spec: str) -> ModelBackend:
    """The backend of a spec; engines start with the first call, not here.

    Raises:
        ConfigError: no such kind of backend, or its parts are malformed or missing.
        InputError: the file, model or name in the spec does not exist.
    """
    if spec.startswith(SCRIPTED):
        return _scripted(spec.removeprefix(SCRIPTED))
    from agentvm_serving.backends import open_backend

    from .models import resolve

    return open_backend(spec, resolve_model=lambda name: str(resolve(name)))


def _scripted(target: str) -> ModelBackend:
    from .loading import load_object
    from .testing import ScriptedLLM

    value, _ = load_object(target, what="scripted model")
    if hasattr(value, "complete") and hasattr(value, "identity"):
        return cast("ModelBackend", value)
    if callable(value) or isinstance(value, dict | list | str):
        return ScriptedLLM(value)
    raise ConfigError(
        f"--llm {SCRIPTED}{target} is a {type(value).__name__}, not a model. "
        "Name a ScriptedLLM, or what one is made of: a function of the call, a list or a dict of answers."
    )
