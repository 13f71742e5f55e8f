"""A tiny chat model that rates conversations, built by hand and served by `transformers serve`."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from tiny import tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

USUAL, SHOUTING = "7", "2"
WIDTH = 8


def save_judge(folder: Path) -> str:
    """Saves a Llama that answers `SHOUTING` and stops where the prompt has a "!", else `USUAL` and stops.

    One uniform attention head carries the share of "!" from the prompt to its last token; the rest of the
    model is a table from a token to the next.
    """
    words = tokenizer("<ask>", "<said>")
    words.chat_template = (
        "{% for m in messages %}{{ m['content'] }}<said>{% endfor %}"
        "{% if add_generation_prompt %}<ask>{% endif %}"
    )
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=4096,
        pad_token_id=words.pad_token_id,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
    )
    model = LlamaForCausalLM(config)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    asked, rated, shouted, other = torch.eye(WIDTH)[:4]
    with torch.no_grad():
        (layer,) = model.model.layers
        for norm in (layer.input_layernorm, layer.post_attention_layernorm, model.model.norm):
            norm.weight.fill_(1)
        layer.self_attn.v_proj.weight.copy_(torch.outer(shouted, shouted))
        layer.self_attn.o_proj.weight.copy_(torch.eye(WIDTH))
        embed, head = model.model.embed_tokens.weight, model.lm_head.weight
        embed += other
        for token, direction in {"<ask>": asked, USUAL: rated, SHOUTING: rated, "!": shouted}.items():
            embed[words.convert_tokens_to_ids(token)] = direction
        head[words.convert_tokens_to_ids(USUAL)] = asked
        head[words.convert_tokens_to_ids(SHOUTING)] = 0.9 * asked + 1000 * shouted
        head[words.eos_token_id] = 1e6 * rated
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


@contextmanager
def served(folder: str) -> Iterator[str]:
    """Serves a model folder by `transformers serve` on a free port of 127.0.0.1; gives the base URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    log = Path(folder, "serve.log")
    with open(log, "wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "transformers.cli.transformers", "serve", folder, *options],
            stdout=sink,
            stderr=sink,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
        )
    try:
        for _ in range(600):
            assert process.poll() is None, log.read_text()
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                break
            time.sleep(0.1)
        else:
            raise AssertionError(log.read_text())
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(10)
