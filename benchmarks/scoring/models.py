"""Models with random weights, from their configs: LLaVA's and Qwen2.5-VL's shapes, from tiny to real."""

import random
import time
from collections.abc import Sequence
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
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

WORDS = [
    "".join(random.Random(i).choice(pair) for pair in ("bdfgklmnprst", "aeiou") * 2) for i in range(2000)
]
"""A made-up vocabulary: about one token a word."""

TEMPLATE = (
    "{% for m in messages %}{{ m['role'] | upper }}: {% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}<image>\n{% else %}{{ p['text'] }}{% endif %}{% endfor %}"
    "{{ '</s>' if m['role'] == 'assistant' else ' ' }}{% endfor %}"
)


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ p['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
)


@dataclass(frozen=True)
class Shape:
    """A model's dimensions.

    Attributes:
        family: `llava` or `qwen`.
        vision: dimensions of the vision tower.
        text: dimensions of the language model.
    """

    family: str
    vision: dict[str, Any]
    text: dict[str, Any]


_HEADS = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")


def _layers(*numbers: int) -> dict[str, Any]:
    return dict(zip(_HEADS, numbers, strict=True))


_CLIP = {"image_size": 336, "patch_size": 14, "projection_dim": 64}
_QWEN = {"patch_size": 14, "window_size": 112}
_ENDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}  # as `_tokenizer` numbers them
# The usual scale of random weights would leave every loss near log(vocabulary).
_LARGE = {"initializer_range": 0.1}

SHAPES = {
    "tiny llava": Shape(
        "llava",
        {**_layers(64, 128, 2, 2), **_CLIP, **_LARGE, "image_size": 56},
        {**_layers(64, 128, 2, 2), **_LARGE},
    ),
    "tiny qwen": Shape(
        "qwen",
        {
            **_QWEN,
            **_LARGE,
            "depth": 2,
            "hidden_size": 64,
            "out_hidden_size": 64,
            "num_heads": 2,
            "intermediate_size": 128,
            "fullatt_block_indexes": [1],
        },
        {
            **_layers(64, 128, 2, 2),
            **_LARGE,
            "num_key_value_heads": 1,
            "rope_parameters": {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 1e6},
        },
    ),
    "small": Shape("llava", {**_layers(256, 1024, 4, 4), **_CLIP}, _layers(512, 1376, 8, 8)),
    "7b": Shape("llava", {**_layers(1024, 4096, 24, 16), **_CLIP}, _layers(4096, 11008, 32, 32)),
    "qwen 3b": Shape(
        "qwen",
        {
            **_QWEN,
            "depth": 32,
            "hidden_size": 1280,
            "out_hidden_size": 2048,
            "num_heads": 16,
            "intermediate_size": 3420,
            "fullatt_block_indexes": [7, 15, 23, 31],
        },
        {
            **_layers(2048, 11008, 36, 16),
            "num_key_value_heads": 2,
            "vocab_size": 151936,
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1e6},
        },
    ),
}


def build(name: str, device: str = "cpu", dtype: str = "float32", attention: str = "sdpa") -> tuple[Any, Any]:
    """A model on its device, and its processor, whose images have as many tokens as the real ones."""
    shape = SHAPES[name]
    kind, config, processor = (_llava if shape.family == "llava" else _qwen)(shape)
    torch.manual_seed(0)
    with torch.device(device):
        model = kind._from_config(config, attn_implementation=attention, dtype=getattr(torch, dtype))
    return model.eval(), processor


class QwenImagesOnly(Qwen2_5_VLProcessor):
    """Qwen's processor without its videos, which ask for torchvision."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, **options: Any) -> None:
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id, self.video_token_id = tokenizer.convert_tokens_to_ids(
            [self.image_token, self.video_token]
        )
        super(Qwen2_5_VLProcessor, self).__init__(image_processor, tokenizer, **options)

    @classmethod
    def get_attributes(cls) -> list[str]:
        """What it is made of."""
        return ["image_processor", "tokenizer"]


def _llava(shape: Shape) -> tuple[Any, Any, Any]:
    words, side = _tokenizer("<image>"), shape.vision["image_size"]
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**shape.vision),
        text_config=LlamaConfig(**{"vocab_size": 32064, "max_position_embeddings": 4096, **shape.text}),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_seq_length=(side // 14) ** 2,
        vision_feature_layer=-2,
    )
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side}),
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=TEMPLATE,
    )
    return LlavaForConditionalGeneration, config, processor


def _qwen(shape: Shape) -> tuple[Any, Any, Any]:
    names = ["im_start", "im_end", "vision_start", "vision_end", "image_pad", "video_pad"]
    words = _tokenizer(*(f"<|{name}|>" for name in names))
    ids = {
        f"{name.split('_')[0] if name.endswith('_pad') else name}_token_id": words.convert_tokens_to_ids(
            f"<|{name}|>"
        )
        for name in names[2:]
    }
    text = {"vocab_size": 32064, "max_position_embeddings": 32768, **_ENDS, **shape.text}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=shape.vision, **ids)
    processor = QwenImagesOnly(
        Qwen2VLImageProcessorPil(patch_size=14, merge_size=2), words, chat_template=CHATML
    )
    return Qwen2_5_VLForConditionalGeneration, config, processor


def save(name: str, folder: Path) -> str:
    """The folder, with model and processor in it."""
    model, processor = build(name)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def forward_flops(model: Any, tokens: float, pairs: float, answers: float, patches: Sequence[int]) -> float:
    """Floating-point operations of forwards, from the model's shape: two for each weight and each product.

    Args:
        model: made by `build`.
        tokens: of the language model, without padding.
        pairs: of tokens of which one sees the other, summed over the sequences.
        answers: tokens with logits.
        patches: of each image that went through the vision tower.
    """
    text, vision = model.config.text_config, model.config.vision_config
    inside = model.model
    tower = inside.visual if hasattr(inside, "visual") else inside.vision_tower
    projector = getattr(inside, "multi_modal_projector", None)
    weights = _weights(tower) + (_weights(projector) if projector is not None else 0)
    # Of Qwen's layers only some see the whole image, the others windows.
    depth = getattr(vision, "depth", None) or vision.num_hidden_layers
    whole = len(getattr(vision, "fullatt_block_indexes", range(depth)))
    window = (getattr(vision, "window_size", 0) // vision.patch_size) ** 2
    seen = sum(whole * count**2 + (depth - whole) * count * min(window, count) for count in patches)
    return (
        2 * _weights(inside.language_model) * tokens
        + 4 * text.hidden_size * text.num_hidden_layers * pairs
        + 2 * text.hidden_size * text.vocab_size * answers
        + 2 * weights * sum(patches)
        + 4 * vision.hidden_size * seen
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
    layers = (layer for layer in module.modules() if isinstance(layer, torch.nn.Linear))
    return sum(layer.weight.numel() for layer in layers)


def _tokenizer(*names: str) -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>", *names]
    trainer = trainers.BpeTrainer(
        vocab_size=8000, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    bpe.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=list(names),
    )
