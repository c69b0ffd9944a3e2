"""Finding a model's folder, and telling its weights from any other's.

The fingerprint reads a few hundred kilobytes of each file, at places spread
over it: a fine-tuned copy has the same shapes, so headers alone would not tell
it apart. File times do not count, so a copy of a model is the same model.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from agentvm_compiler.errors import ConfigError

DESCRIPTIONS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
"""Small files that change a model's answers; hashed whole."""

WEIGHTS = ("*.safetensors", "*.bin", "*.gguf", "*.pt")

SAMPLES = 16
SAMPLE_BYTES = 64 * 1024


def find_model(model: str, resolve: Callable[[str], str] | None = None) -> Path:
    """The folder of a model given by path or by name.

    Args:
        resolve: knows the folders of fetched models by name.

    Raises:
        ConfigError: there is no such model on this machine.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return _checked(path.resolve())
    if model.startswith(("/", ".", "~")):
        raise ConfigError(f"no model folder at {path}. {_REMEDY}")
    if resolve is not None:
        return _checked(Path(resolve(model)))
    cached = _from_hub_cache(model)
    if cached is None:
        raise ConfigError(f"no model called {model!r} on this machine. {_REMEDY}")
    return _checked(cached)


def fingerprint(folder: Path) -> str:
    """A short hash of a model's weights and of what decides its answers."""
    digest = hashlib.sha256()
    for name in DESCRIPTIONS:
        file = folder / name
        if file.is_file():
            _add(digest, name, file.read_bytes())
    for file in sorted(path for pattern in WEIGHTS for path in folder.glob(pattern)):
        size = file.stat().st_size
        _add(digest, file.name, str(size).encode())
        with file.open("rb") as stream:
            # The first sample covers the header or most of it, the last one ends with the file.
            for index in range(SAMPLES):
                stream.seek(max(0, size - SAMPLE_BYTES) * index // (SAMPLES - 1))
                digest.update(stream.read(SAMPLE_BYTES))
    return digest.hexdigest()[:16]


_REMEDY = "See those you have with `agentvm models list`, get one with `agentvm models fetch NAME`"


def _checked(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise ConfigError(f"{folder} holds no model (no config.json). {_REMEDY}")
    return folder


def _add(digest: hashlib._Hash, name: str, content: bytes) -> None:
    digest.update(f"{name}\0{len(content)}\0".encode() + content)


def _from_hub_cache(model: str) -> Path | None:
    """The folder of a model already in the Hugging Face cache, without asking the network."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    repository = hub / f"models--{model.replace('/', '--')}"
    try:
        revision = (repository / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    snapshot = repository / "snapshots" / revision
    return snapshot if snapshot.is_dir() else None
