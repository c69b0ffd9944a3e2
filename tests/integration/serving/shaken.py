"""Our scheduler, pausing requests at random, in an engine's process (`--scheduler-cls shaken.create`)."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

from agentvm_serving.vllm import scheduler

HELD_VARIABLE = "AGENTVM_TEST_HELD"
"""Names a file that gets a byte for each time a running request was paused."""


def create(vllm_config: Any, *args: Any, **kwargs: Any) -> Any:
    """Running requests sit out steps, with their KV kept; one always goes on."""
    made = scheduler.create(vllm_config, *args, **kwargs)
    draws, order, held = random.Random(1), made._order, Path(os.environ[HELD_VARIABLE])

    def shake() -> bool:
        planned = bool(order())
        decoding = [each for each in made.running if each.num_output_tokens]
        for request in decoding[1:]:
            if draws.random() < 0.3 and made._levers.hold(request):
                with held.open("ab") as file:
                    file.write(b".")
        return planned

    made._order = shake
    return made
