"""LLaVA models with random weights, from their configs: a small one, and one of LLaVA-1.5-7B's shape."""

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

WORDS = [
    "".join(random.Random(i).choice(pair) for pair in ("bdfgklmnprst", "aeiou") * 2) for i in range(2000)
]
"""A made-up vocabulary: about one token a word."""

TEMPLATE = (
    "{% for m in messages %}{{ m['role'] | upper }}: {% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}<image>\n{% else %}{{ p['text'] }}{% endif %}{% endfor %}"
    "{{ '</s>' if m['role'] == 'assistant' else ' ' }}{% endfor %}"
)


@dataclass(frozen=True)
class Shape:
    """A LLaVA's dimensions: pictures of 336 x 336 in patches of 14 are 576 tokens."""

    vision: dict[str, int]
    text: dict[str, int]


SHAPES = {
    "small": Shape(
        {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 4},
        {"hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 8, "num_attention_heads": 8},
    ),
    "7b": Shape(
        {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
        {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
    ),
}


def build(name: str, device: str = "cpu", dtype: str = "float32", attention: str = "sdpa") -> tuple[Any, Any]:
    """A model on its device, and its processor."""
    shape, words = SHAPES[name], _tokenizer()
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**shape.vision, image_size=336, patch_size=14, projection_dim=64),
        text_config=LlamaConfig(**shape.text, vocab_size=32064, max_position_embeddings=4096),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_seq_length=576,
        vision_feature_layer=-2,
    )
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}),
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=TEMPLATE,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = LlavaForConditionalGeneration._from_config(
            config, attn_implementation=attention, dtype=getattr(torch, dtype)
        )
    return model.eval(), processor


def save(name: str, folder: Path) -> str:
    """The folder, with model and processor in it."""
    model, processor = build(name)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def forward_flops(model: Any, tokens: float, pairs: float, answers: float, pictures: float) -> float:
    """Floating-point operations of forwards, from the model's shape: two for each weight and each product.

    Args:
        model: made by `build`.
        tokens: of the language model, without padding.
        pairs: of tokens of which one sees the other, summed over the sequences.
        answers: tokens with logits.
        pictures: that went through the vision tower.
    """
    text, vision = model.config.text_config, model.config.vision_config
    patches = (vision.image_size // vision.patch_size) ** 2 + 1
    inside = model.model
    return (
        2 * _weights(inside.language_model) * tokens
        + 4 * text.hidden_size * text.num_hidden_layers * pairs
        + 2 * text.hidden_size * text.vocab_size * answers
        + pictures * 2 * (_weights(inside.vision_tower) + _weights(inside.multi_modal_projector)) * patches
        + pictures * 4 * vision.hidden_size * vision.num_hidden_layers * patches**2
    )


def matmul_peak(device: str, dtype: str, size: int | None = None) -> float:
    """The best operations per second of a few products of square matrices."""
    size = size or (8192 if device == "cuda" else 2048)
    one, two = torch.randn(2, size, size, device=device, dtype=getattr(torch, dtype))
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        for _ in range(10 if device == "cuda" else 1):
            product = one @ two
        product[0, 0].item()
        best = min(best, (time.perf_counter() - start) / (10 if device == "cuda" else 1))
    return 2 * size**3 / best


def _weights(module: torch.nn.Module) -> int:
    layers = (it for it in module.modules() if isinstance(it, torch.nn.Linear))
    return sum(layer.weight.numel() for layer in layers)


def _tokenizer() -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>", "<image>"]
    trainer = trainers.BpeTrainer(
        vocab_size=8000, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    bpe.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<image>"],
    )
