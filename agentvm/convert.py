"""Turn a GGUF file into a folder that vLLM loads: `python -P convert.py SOURCE GGUF TARGET`.

Runs in a child process of `agentvm.models`, so that torch never enters the
process that asked, and imports nothing of AgentVM. Each line on standard
output is a fraction done; the weights are written as float32, in which greedy
answers agree with the original's.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

# Builds of these for another torch break `import transformers`; text models need none of them.
# A module entry of None makes an import fail, and so look as if it were not installed.
UNUSED = ("torchvision", "torchaudio", "torchcodec")
SAMPLE = "Stars, naïve café: 日本\n\tx = 1"


def convert(source: Path, gguf: str, target: Path) -> None:
    """Write model and tokenizer into `target`, and check the tokenizer as read back."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    print(0.3, flush=True)
    AutoTokenizer.from_pretrained(source, gguf_file=gguf).save_pretrained(target)
    print(0.6, flush=True)
    model: Any = AutoModelForCausalLM.from_pretrained(
        source, gguf_file=gguf, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    )
    print(0.8, flush=True)
    model.save_pretrained(target)
    check(AutoTokenizer.from_pretrained(target))
    print(1.0, flush=True)


def check(tokenizer: Any) -> None:
    """Fail unless the tokenizer gives text back as it was and has a working chat template."""
    if tokenizer.decode(tokenizer.encode(SAMPLE, add_special_tokens=False)) != SAMPLE:
        raise SystemExit("the converted tokenizer does not give back the text it encodes")
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": SAMPLE}], tokenize=False, add_generation_prompt=True
    )
    if SAMPLE not in chat:
        raise SystemExit("the converted tokenizer has no working chat template")


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    sys.modules |= dict.fromkeys(UNUSED)  # type: ignore[arg-type]
    convert(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
