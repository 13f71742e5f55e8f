"""Tiny models of every supported architecture, built offline from their configs, with random weights.

The weights' scale is raised: at the usual 0.02 every loss is close to log(vocabulary), and a wrong mask
or a wrong position would hardly show.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3Processor,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLProcessor,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

SIZE = 16
CORPUS = ["what colour is the circle? red, green or blue.", "USER: ASSISTANT: user assistant system"]

VICUNA = (
    "{% for m in messages %}{{ m['role'] | upper }}: {% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}<image>\n{% else %}{{ p['text'] }}{% endif %}{% endfor %}"
    "{{ '</s>' if m['role'] == 'assistant' else ' ' }}{% endfor %}"
)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}PICTURE{% else %}{{ p['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}"
)
PLAIN_STRINGS = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %} Answer:{{ m['content'] }}</s>"
    "{% else %}{{ m['content'] }}{% endif %}{% endfor %}"
)


class Qwen2VLImagesOnly(Qwen2VLProcessor):
    """The stock processor wants torchvision for its videos."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, **kwargs: Any) -> None:
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id, self.video_token_id = tokenizer.convert_tokens_to_ids(
            [self.image_token, self.video_token]
        )
        super(Qwen2VLProcessor, self).__init__(image_processor, tokenizer, **kwargs)

    @classmethod
    def get_attributes(cls) -> list[str]:
        return ["image_processor", "tokenizer"]


@dataclass(frozen=True)
class Tiny:
    """A model saved to a folder.

    Attributes:
        folder: what `from_pretrained` reads.
        processor: set where `AutoProcessor` cannot load it from the folder.
    """

    folder: str
    processor: Any = None


def save(build: Any, folder: Path) -> Tiny:
    """Builds one of `ARCHITECTURES` and saves model and processor."""
    torch.manual_seed(0)
    model, processor = build()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return Tiny(str(folder), processor if isinstance(processor, Qwen2VLImagesOnly) else None)


def tokenizer(*special: str, **options: Any) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with these special tokens after <pad>, <s> and </s>."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    names = ["<pad>", "<s>", "</s>", *special]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=names, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    bpe.train_from_iterator(CORPUS * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=list(special),
        **options,
    )


def llava() -> tuple[Any, Any]:
    words = tokenizer("<image>")
    vision = {**_VISION, "model_type": "clip_vision_model", "projection_dim": 16}
    config = LlavaConfig(
        vision_config=vision,
        text_config=_llama(words),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
        vision_feature_layer=-2,
    )
    return LlavaForConditionalGeneration(config), llava_processor(words)


def llava_processor(words: Any, template: str = VICUNA) -> LlavaProcessor:
    """LLaVA's processor with this tokenizer and chat template."""
    return LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE}),
        words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=template,
    )


def idefics3() -> tuple[Any, Any]:
    rows = [f"<row_{i + 1}_col_{j + 1}>" for i in range(6) for j in range(6)]
    names = ["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", "<|im_start|>"]
    words = tokenizer(*names, "<|im_end|>", *rows)
    processor = Idefics3Processor(
        Idefics3ImageProcessorPil(
            size={"longest_edge": SIZE}, max_image_size={"longest_edge": SIZE}, do_image_splitting=False
        ),
        words,
        image_seq_len=1,
        chat_template=CHATML.replace("PICTURE", "<image>").replace("<|im_end|>", "<end_of_utterance>"),
    )
    config = Idefics3Config(
        vision_config=_VISION,
        text_config={**_llama(words), "model_type": "llama"},
        image_token_id=processor.image_token_id,
        scale_factor=2,
        pad_token_id=words.pad_token_id,
    )
    return Idefics3ForConditionalGeneration(config), processor


def qwen2_vl() -> tuple[Any, Any]:
    words, processor = _qwen_processor()
    vision = {"depth": 2, "embed_dim": 32, "num_heads": 2, "hidden_size": 32, "mlp_ratio": 2, "patch_size": 4}
    config = Qwen2VLConfig(text_config=_qwen_text(words), vision_config=vision, **_qwen_ids(words))
    return Qwen2VLForConditionalGeneration(config), processor


def qwen2_5_vl() -> tuple[Any, Any]:
    words, processor = _qwen_processor()
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "num_heads": 2,
        "intermediate_size": 48,
        "out_hidden_size": 32,
        "patch_size": 4,
        "window_size": 16,
        "fullatt_block_indexes": [1],
    }
    config = Qwen2_5_VLConfig(text_config=_qwen_text(words), vision_config=vision, **_qwen_ids(words))
    return Qwen2_5_VLForConditionalGeneration(config), processor


def blip2() -> tuple[Any, Any]:
    words = tokenizer("<image>")
    processor = Blip2Processor(
        BlipImageProcessorPil(size={"height": SIZE, "width": SIZE}), words, num_query_tokens=3
    )
    processor.chat_template = PLAIN_STRINGS
    qformer = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "encoder_hidden_size": 32,
        "vocab_size": 20,
    }
    config = Blip2Config(
        vision_config=_VISION,
        qformer_config=qformer,
        text_config={**_llama(words), "model_type": "llama"},
        num_query_tokens=3,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    config.use_decoder_only_language_model = True
    return Blip2ForConditionalGeneration(config), processor


def llava_next() -> tuple[Any, Any]:
    """One without a line of its own in the package: pictures in tiles, more or fewer."""
    words = tokenizer("<image>")
    grid = [[SIZE, 2 * SIZE], [2 * SIZE, SIZE]]
    config = LlavaNextConfig(
        vision_config={**_VISION, "model_type": "clip_vision_model", "projection_dim": 16},
        text_config=_llama(words),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=grid,
        vision_feature_layer=-2,
    )
    pictures = LlavaNextImageProcessorPil(
        size={"shortest_edge": SIZE},
        crop_size={"height": SIZE, "width": SIZE},
        image_grid_pinpoints=grid,
    )
    processor = LlavaNextProcessor(
        pictures,
        words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=VICUNA,
    )
    return LlavaNextForConditionalGeneration(config), processor


def gemma3() -> tuple[Any, Any]:
    """Another without a line of its own: capped logits, and a placeholder that expands to another token."""
    names = {
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "image_token": "<image_soft_token>",
    }
    words = tokenizer(*names.values(), extra_special_tokens=names)
    config = Gemma3Config(
        text_config={
            "vocab_size": len(words),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "max_position_embeddings": 256,
            "final_logit_softcapping": 5.0,
            "initializer_range": 0.3,
        },
        vision_config={**_VISION, "vision_use_head": False, "model_type": "siglip_vision_model"},
        mm_tokens_per_image=4,
        image_token_index=words.image_token_id,
        boi_token_index=words.boi_token_id,
        eoi_token_index=words.eoi_token_id,
    )
    processor = Gemma3Processor(
        Gemma3ImageProcessorPil(size={"height": SIZE, "width": SIZE}),
        words,
        chat_template=VICUNA.replace("<image>", "<start_of_image>"),
        image_seq_length=4,
    )
    model = Gemma3ForConditionalGeneration(config)
    # It starts at zero, and pictures would change nothing.
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight)
    return model, processor


ARCHITECTURES = {
    "llava": llava,
    "idefics3": idefics3,
    "qwen2_vl": qwen2_vl,
    "qwen2_5_vl": qwen2_5_vl,
    "blip2": blip2,
    "llava_next": llava_next,
    "gemma3": gemma3,
}

_VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIZE,
    "patch_size": 8,
    "initializer_range": 0.2,
}


def _llama(words: Any) -> dict[str, Any]:
    return LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,
        pad_token_id=words.pad_token_id,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
    ).to_dict()


def _qwen_processor() -> tuple[Any, Any]:
    names = [
        "<|im_start|>",
        "<|im_end|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|image_pad|>",
        "<|video_pad|>",
    ]
    words = tokenizer(*names)
    template = CHATML.replace("PICTURE", "<|vision_start|><|image_pad|><|vision_end|>")
    pictures = Qwen2VLImageProcessorPil(
        patch_size=4, merge_size=2, size={"shortest_edge": 64, "longest_edge": 4096}
    )
    return words, Qwen2VLImagesOnly(pictures, words, chat_template=template)


def _qwen_text(words: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(words),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.3,
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0},
        "pad_token_id": words.pad_token_id,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
    }


def _qwen_ids(words: Any) -> dict[str, int]:
    keys = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    return {key: words.convert_tokens_to_ids(token) for key, token in keys.items()}
