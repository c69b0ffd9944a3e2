"""Engine specs: what a name and its options say."""

from __future__ import annotations

import pytest

from agentvm_compiler.errors import ConfigError
from agentvm_serving.bench.engines import engine_named
from agentvm_serving.bench.specs import virtual
from agentvm_serving.estimate.steps import CPU_135M, Batch
from agentvm_serving.sim.models import Knee, Table


def test_a_profile_has_the_settings_of_its_engine():
    """Those of a GPU are vLLM's, with what memory the weights leave."""
    spec = virtual("a100")
    engine = spec.engine
    assert isinstance(engine.step, Table)
    assert (engine.max_num_seqs, engine.max_num_batched_tokens, engine.kv_tokens) == (256, 2048, 400_000)
    assert (spec.replicas, spec.router, engine.prefix_cache, engine.preemption) == (
        1,
        "round",
        False,
        "recompute",
    )
    assert virtual("cpu135m").engine.step is CPU_135M


def test_options_change_them():
    """By name, as in a URL."""
    spec = virtual(
        "h100x4?router=slo&seqs=64&budget=512&kv=60000&len=8192&cache=1&swap=32&form=knee&overhead=1"
    )
    engine = spec.engine
    assert (spec.replicas, spec.router) == (4, "slo")
    assert (engine.max_num_seqs, engine.max_num_batched_tokens, engine.kv_tokens) == (64, 512, 60_000)
    assert (engine.max_model_len, engine.prefix_cache, engine.preemption) == (8192, True, "swap")
    assert engine.swap_per_token == pytest.approx(131_072 / 32e9)
    assert isinstance(engine.step, Knee)
    assert engine.overhead > 0
    assert virtual("a100?replicas=2").replicas == 2
    batch = Batch(512, 512 * 256.0, prompts=1)
    assert virtual("a100?prefill=1.3").engine.seconds(batch) > virtual("a100").engine.seconds(batch)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("sim:b200", "no profile is called 'b200'. Choose one of: cpu135m, a100, h100"),
        ("sim:a100x0", "give at least one, such as a100x1"),
        ("sim:a100?colour=red", "no option 'colour'. They have: form, mix"),
        ("sim:a100?seqs=many", "option seqs=many"),
        ("sim:a100?cache=yes", "option cache=yes: 0 or 1"),
        ("sim:a100?router=best", "option router=best: round or least or power or prefix or slo"),
        ("sim:cpu135m?mix=0.3", "leave out form and mix"),
        ("replay:a100x2", "use sim"),
        ("replay:a100?swap=32", "use sim"),
        ("moon:a100", "no engine is called 'moon:a100'. Choose one of: sim:cpu135m"),
        ("sim:", "no engine is called 'sim:'"),
    ],
)
def test_mistakes_say_what_there_is(spec, message):
    """Before anything is served."""
    with pytest.raises(ConfigError, match=message):
        engine_named(spec)
