"""What the scorers of losses are compared with: rows shown in part by hand, and a slow loop."""

from collections.abc import Iterator

import torch
from datasets import Dataset
from pools import assistant, png, pool, user

from hf_vitselect.data.rows import read_table, undecoded
from hf_vitselect.models.options import ModelOptions
from hf_vitselect.models.vlm import VLM

TALKS = [
    (1, ["what colour is the circle?", "red, green or blue"]),
    (0, ["what colour is it?", "It is green, I think."]),
    (1, ["and?", "blue", "are you sure?", "no", "so what is it?", "red"]),
    (2, ["which one is it?", "the second"]),
    (1, ["", "a red circle"]),
]


def talks(pictures: bool = True, questions: bool = True, most: int = 2) -> Dataset:
    """The rows of `TALKS` with at most so many pictures; if wanted, with the texts of their answers alone."""
    rows = []
    for number, (slots, texts) in enumerate(TALKS):
        if slots > most:
            continue
        slots = slots if pictures else 0
        turns = []
        for i in range(0, len(texts), 2):
            turns.append(user(texts[i] if questions else "", slots if i == 0 else 0))
            turns.append(assistant(texts[i + 1]))
        rows.append((turns, [png(10 * number + i) for i in range(slots)]))
    return pool(rows)


@torch.inference_mode()
def slow_means(tiny, dataset: Dataset) -> list[tuple[float, int]]:
    """Row by row, all logits: the mean loss of the response tokens, and how many they are."""
    cross_entropy = torch.nn.functional.cross_entropy
    return [(cross_entropy(*row).item(), len(row[1])) for row in slow_logits(tiny, dataset)]


def slow_logits(
    tiny, dataset: Dataset, vlm: VLM | None = None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Row by row, from a whole forward: the logits that predict the response tokens, and these tokens."""
    vlm = vlm or VLM.load(tiny.folder, ModelOptions(processor=tiny.processor), device="cpu")
    for table in undecoded(dataset):
        for row in read_table(table):
            encoded = vlm.encoder.encode(row)
            inputs, _ = vlm.encoder.collate([encoded])
            kept = encoded.response[0, 1:]
            yield vlm.model(**inputs).logits[0, :-1][kept], inputs["input_ids"][0, 1:][kept]
