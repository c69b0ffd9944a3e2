"""Profiles: engines by name, with step times fitted to published measurements or our own."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

from agentvm_compiler.errors import ConfigError
from agentvm_serving.estimate.steps import CPU_135M

from .engine import Engine
from .models import Derated, StepTime, form_of

FORMS: Final = ("table", "knee")
"""Forms of a GPU's step-time model; the first is the closer one."""
VLLM_OVERHEAD: Final = (1.1531e-3, 4.41684444e-6)
"""Seconds a step, and for each request in it, that vLLM itself takes (inference-sim's fit on H100)."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is not certain of a profile: how it may be varied."""

    form: Literal["table", "knee"] = "table"
    mix: float | None = None
    """What KV that is read costs more beside a prompt, as a share of its cost."""
    prefill: float = 1.0
    """Factor of what prompts cost."""
    overhead: bool = False
    """Whether vLLM's own time (`VLLM_OVERHEAD`) is added; the profiles are of operators alone."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A named engine."""

    name: str
    what: str
    """The model and the hardware."""
    source: str
    """Where the step times come from."""
    base: Engine
    forms: dict[str, Any] = field(default_factory=dict)

    def engine(self, options: Options) -> Engine:
        """The engine, varied."""
        from dataclasses import replace

        step: StepTime = self.base.step
        if self.forms:
            step = form_of(self.forms[options.form], options.mix)
        elif options.mix is not None or options.form != "table":
            raise ConfigError(f"profile {self.name!r} has one form and no mixed term: leave out form and mix")
        if options.prefill != 1.0:
            step = Derated(step, options.prefill)
        constant, per_request = VLLM_OVERHEAD if options.overhead else (0.0, 0.0)
        return replace(self.base, step=step, overhead=constant, overhead_per_request=per_request)


@cache
def profiles() -> dict[str, Profile]:
    """All profiles, by name."""
    cpu = Profile(
        "cpu135m",
        "SmolLM2-135M in float32 on one core with AVX-512",
        "Our own measurements of vLLM 0.32 on such a machine (held-out error 8 %)",
        Engine(CPU_135M, max_num_seqs=32),
    )
    found = {cpu.name: cpu}
    gpus = [each for each in files(__package__).joinpath("gpus").iterdir() if each.name.endswith(".json")]
    for file in sorted(gpus, key=lambda each: each.name):
        fields = json.loads(file.read_text(encoding="utf-8"))
        base = Engine(form_of(fields["forms"][FORMS[0]]), **fields["engine"])
        name = file.name.removesuffix(".json")
        found[name] = Profile(name, fields["what"], fields["source"], base, fields["forms"])
    return found
