"""The small model itself: fetched from the package index, converted by transformers, and sane."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from agentvm import models
from agentvm_compiler.errors import ConfigError

pytestmark = pytest.mark.engine

# In a child, so that torch stays out of the test process.
ASK = """
import json, sys, torch
sys.modules |= dict.fromkeys(("torchvision", "torchaudio", "torchcodec"))
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
chat = [{"role": "user", "content": "What is the capital of France?"}]
text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
given = tokenizer(text, return_tensors="pt")
ids = model.generate(**given, do_sample=False, max_new_tokens=16)[0]
print("\\n" + json.dumps({
    "dtype": str(model.dtype),
    "prompt": text,
    "back": tokenizer.decode(given["input_ids"][0]),
    "answer": tokenizer.decode(ids[given["input_ids"].shape[1]:], skip_special_tokens=True),
}))
"""


def test_fetched_model_answers_as_the_original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The conversion keeps float32 weights, the chat template, and the greedy answer known to be right."""
    if missing := [module for module in models.NEEDED if importlib.util.find_spec(module) is None]:
        pytest.skip(f"no engine installed: {', '.join(missing)} missing")
    monkeypatch.setenv("AGENTVM_MODELS_DIR", str(tmp_path))
    told: list[tuple[str, float]] = []
    try:
        path = models.fetch("smollm2-135m", lambda stage, fraction: told.append((stage, fraction)))
    except ConfigError as error:
        if "could not download" in str(error):
            pytest.skip(str(error))
        raise
    assert list(dict.fromkeys(stage for stage, _ in told)) == ["downloading", "checking", "converting"]
    assert all(0 <= fraction <= 1 for _, fraction in told)
    done = subprocess.run([sys.executable, "-c", ASK, str(path)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["dtype"] == "torch.float32"
    assert found["prompt"] == found["back"]
    assert found["prompt"].endswith("user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n")
    assert found["answer"].strip() == "The capital of France is Paris."
