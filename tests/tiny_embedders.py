"""A tiny CLIP and a tiny sentence-transformers model, built offline with random weights."""

from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer
from tiny import SIZE, tokenizer
from tokenizers import processors
from transformers import BertConfig, BertModel, CLIPConfig, CLIPModel, CLIPProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

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
