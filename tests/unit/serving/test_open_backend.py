"""From a spec to a backend; what is on this machine, and what importing costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agentvm_compiler.errors import BackendError, ConfigError
from agentvm_serving.backends import engine, open_backend, weights
from agentvm_serving.backends.engine import last_words
from agentvm_serving.backends.vllm import VllmBackend
from agentvm_serving.backends.weights import find_model, fingerprint


@pytest.fixture
def model(tmp_path):
    """A model's folder, with weights of one megabyte and a half."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 6000)
    return folder


def test_importing_the_package_imports_no_engine():
    """The heavy packages are imported where they are used."""
    code = (
        "import sys, agentvm_serving, agentvm_serving.backends, agentvm_serving.vllm;"
        "print([m for m in ('torch', 'vllm', 'openai', 'httpx', 'httpx2') if m in sys.modules])"
    )
    path = {"PYTHONPATH": ":".join(sys.path)}
    assert subprocess.check_output([sys.executable, "-c", code], env=path, text=True) == "[]\n"


def test_openai_spec_names_url_and_model():
    """What follows the last # is the model."""
    assert open_backend("openai:http://h/v1#org/m").identity(None) == "org/m@http://h/v1"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("openai:http://h/v1", "lacks its model"),
        ("openai:h/v1#m", "lacks its URL"),
        ("gpt", "Accepted forms: vllm:MODEL_OR_PATH, openai:BASE_URL#MODEL"),
        ("vllm:", "no known form"),
        ("sim:", "no known form"),
        ("sim:b200", "no profile is called 'b200'. Choose one of: cpu135m, a100, h100"),
        ("sim:a100x4", "it is one engine"),
        ("sim:a100?speed=0", "speed and tokens must be above zero"),
        ("sim:a100?tokens=x", "tokens=x is not a number"),
        ("sim:a100?policy=x", "no scheduling policy is called 'x'"),
        ("vllm:/nowhere", "no model folder at /nowhere. .*agentvm models fetch"),
        ("vllm:no/such-model", "no model called 'no/such-model' on this machine. .*agentvm models list"),
    ],
)
def test_wrong_specs_say_what_is_right(spec, words):
    """The message tells the forms, or how to get the model."""
    with pytest.raises(ConfigError, match=words):
        open_backend(spec)


def test_model_is_found_by_path_or_by_name(model):
    """A folder is itself; a name is asked of the resolver."""
    assert find_model(str(model)) == model
    assert find_model("tiny", lambda name: str(model.parent / name)) == model


def test_folder_without_a_model_is_refused(tmp_path):
    """A folder is a model only if it describes one."""
    with pytest.raises(ConfigError, match="holds no model"):
        find_model(str(tmp_path))


def test_model_is_found_in_the_hub_cache(model, tmp_path, monkeypatch):
    """A model fetched with Hugging Face's own tools is served by its repository's name."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--org--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc\n")
    (repository / "snapshots").mkdir()
    model.rename(repository / "snapshots" / "abc")
    assert find_model("org/tiny") == repository / "snapshots" / "abc"


def test_fingerprint_follows_the_weights(model):
    """Same shapes and other weights are another model; a copy at another time is the same."""
    file = model / "model.safetensors"
    first = fingerprint(model)
    content = bytearray(file.read_bytes())
    file.write_bytes(content)
    assert fingerprint(model) == first
    file.write_bytes(bytes(byte ^ 1 for byte in content))
    assert fingerprint(model) != first
    file.write_bytes(content)
    (model / "chat_template.jinja").write_text("other")
    assert fingerprint(model) != first


def test_fingerprint_reads_little(model, monkeypatch):
    """Large files are sampled, from the first byte to the last."""
    monkeypatch.setattr(weights, "SAMPLE_BYTES", 16)
    first = fingerprint(model)
    file = model / "model.safetensors"
    for place in (0, -1):
        content = bytearray(file.read_bytes())
        content[place] ^= 1
        file.write_bytes(content)
        assert fingerprint(model) != first


def test_vllm_identity_starts_nothing(model):
    """Name, weights and dtype, from files alone."""
    backend = VllmBackend(str(model), dtype="float32")
    assert backend.identity(None) == f"tiny@{fingerprint(model)}:float32"
    assert backend.identity(str(model)) == backend.identity(None)
    assert backend.identity("other") != backend.identity(None)
    assert backend.engine is None


def test_unknown_policy_is_refused_before_anything_starts(model):
    """A typing mistake costs no engine start."""
    with pytest.raises(ConfigError, match="no scheduling policy is called 'best'"):
        VllmBackend(str(model), policy="best")


async def test_missing_vllm_names_the_extras(model, monkeypatch):
    """The remedy is one pip command."""
    from agentvm_serving.vllm import environment

    monkeypatch.setattr(environment, "vllm_version", lambda: None)
    with pytest.raises(ConfigError, match=r"pip install agentvm\[cpu\]"):
        await VllmBackend(str(model), dtype="auto").start()


async def test_closing_an_unstarted_backend_is_harmless(model):
    """Nothing runs, nothing to end."""
    await VllmBackend(str(model), dtype="auto").aclose()


LOG = """\
(APIServer pid=7) INFO 11-22 05:19:33 [model.py:733] Resolved architecture: X
(EngineCore pid=8) ERROR 11-22 05:19:40 [core.py:1] Traceback (most recent call last):
(EngineCore pid=8) ERROR 11-22 05:19:40 [core.py:1]   File "a.py", line 1, in load
(EngineCore pid=8) ERROR 11-22 05:19:40 [core.py:1] safetensors.SafetensorError: HeaderTooLarge
(APIServer pid=7) RuntimeError: Engine core initialization failed. See root cause above.
"""


def test_last_words_are_the_reason_alone(tmp_path):
    """No prefixes, no traceback, no error that only points at another."""
    (tmp_path / "a.log").write_text(LOG)
    assert last_words(tmp_path / "a.log") == ["safetensors.SafetensorError: HeaderTooLarge"]


def test_last_words_fall_back_to_the_end_of_the_log(tmp_path):
    """A log without a known kind of error still says something."""
    (tmp_path / "a.log").write_text("one\ntwo\n")
    assert last_words(tmp_path / "a.log") == ["one", "two"]
    assert last_words(tmp_path / "none.log") == []


@pytest.fixture
def failing_server(model, tmp_path, monkeypatch):
    """A backend whose server ends at once with an error."""
    monkeypatch.setattr(engine, "SERVER_MODULE", "no_such_module")
    monkeypatch.setattr("agentvm_serving.backends.vllm.require_vllm", lambda: None)
    return VllmBackend(str(model), dtype="auto", log_folder=tmp_path / "logs")


async def test_failed_start_quotes_the_log(failing_server, tmp_path):
    """The error has the server's last words and its log's path, and nothing is left."""
    with pytest.raises(BackendError, match=r"could not start \(exit status 1\)") as caught:
        await failing_server.start()
    [log] = (tmp_path / "logs").glob("*.log")
    message = str(caught.value)
    assert "no_such_module" in message
    assert str(log) in message
    assert not caught.value.transient
    assert failing_server.engine is None


async def test_failed_start_is_not_repeated(failing_server, tmp_path):
    """Calls that waited for an engine that cannot start fail with the first one's reason, at once."""
    for _ in range(3):
        with pytest.raises(BackendError, match="could not start"):
            await failing_server.start()
    assert len(list((tmp_path / "logs").glob("*.log"))) == 1
