"""A tiny CLIP and a tiny sentence-transformers model, built offline with random weights."""

import string
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tiny import SIZE, tokenizer
from tokenizers import processors
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    CLIPProcessor,
    Siglip2Processor,
    Siglip2Tokenizer,
    SiglipModel,
    SiglipProcessor,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

CLIP_WIDTH, CLIP_CONTEXT, TEXT_WIDTH = 16, 24, 24


def save_clip(folder: Path, seed: int = 0) -> str:
    """Saves a CLIP whose features have `CLIP_WIDTH` numbers and whose texts have `CLIP_CONTEXT` tokens."""
    words = tokenizer("<start>", "<end>")
    words.eos_token = "<end>"
    words._tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>",
        special_tokens=[(name, words.convert_tokens_to_ids(name)) for name in ("<start>", "<end>")],
    )
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {
        **tower,
        "vocab_size": len(words),
        "max_position_embeddings": CLIP_CONTEXT,
        "pad_token_id": words.pad_token_id,
        "bos_token_id": words.convert_tokens_to_ids("<start>"),
        "eos_token_id": words.eos_token_id,
    }
    config = CLIPConfig(
        text_config=text,
        vision_config={**tower, "image_size": SIZE, "patch_size": 8},
        projection_dim=CLIP_WIDTH,
        initializer_factor=8.0,
    )
    torch.manual_seed(seed)
    CLIPModel(config).save_pretrained(folder)
    pictures = CLIPImageProcessorPil(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE})
    CLIPProcessor(pictures, words).save_pretrained(folder)
    return str(folder)


def save_siglip(folder: Path, kind: type[Any], context: int = 16) -> str:
    """Saves a SigLIP of either generation, whose features have as many numbers as its image tower is wide."""
    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *string.printable]
    words = (
        tokenizer() if kind is SiglipModel else Siglip2Tokenizer({name: i for i, name in enumerate(names)})
    )
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**tower, "vocab_size": len(words), "max_position_embeddings": context, "projection_size": 32}
    pixels = {"image_size": SIZE} if kind is SiglipModel else {"num_patches": 4}
    torch.manual_seed(0)
    config = kind.config_class(text_config=text, vision_config={**tower, "patch_size": 8, **pixels})
    model = kind(config)
    for weights in model.parameters():
        torch.nn.init.normal_(weights, std=0.2)
    model.save_pretrained(folder)
    if kind is SiglipModel:
        pictures = SiglipImageProcessorPil(size={"height": SIZE, "width": SIZE})
        SiglipProcessor(pictures, words).save_pretrained(folder)
    else:
        Siglip2Processor(Siglip2ImageProcessorPil(patch_size=8, max_num_patches=4), words).save_pretrained(
            folder
        )
    return str(folder)


def save_sentence_transformer(folder: Path, seed: int = 0) -> str:
    """Saves a BERT with mean pooling whose embeddings have `TEXT_WIDTH` numbers."""
    words = tokenizer()
    words.model_input_names = ["input_ids", "attention_mask"]
    words.model_max_length = 64
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=TEXT_WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        pad_token_id=words.pad_token_id,
    )
    torch.manual_seed(seed)
    BertModel(config).save_pretrained(folder / "bert")
    words.save_pretrained(folder / "bert")
    bert = Transformer(str(folder / "bert"))
    model = SentenceTransformer(modules=[bert, Pooling(bert.get_embedding_dimension())], device="cpu")
    model.save(str(folder / "model"))
    return str(folder / "model")
