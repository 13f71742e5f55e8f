"""The embeddings of `selection.features`, made on the device: on a CPU ten million would take minutes."""

import numpy as np
import torch
from numpy.typing import NDArray

_STEP = 2**17


def clip_like(rows: int, dim: int, device: str, seed: int = 0) -> NDArray[np.float32]:
    """A unit image half and a unit text half, of topics of about 40 rows; float32 of shape (rows, dim)."""
    chance = torch.Generator(device).manual_seed(seed)
    half = dim // 2

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=chance, device=device)

    scale = torch.arange(1, half + 1, device=device) ** -0.5
    topics = [normal(max(1, rows // 40), half) for _ in range(2)]
    shared = [2**0.5 * normal(half) for _ in range(2)]
    out = np.empty((rows, dim), dtype=np.float32)
    for start in range(0, rows, _STEP):
        count = min(_STEP, rows - start)
        topic = torch.randint(len(topics[0]), (count,), generator=chance, device=device)
        halves = [
            torch.nn.functional.normalize((common + centers[topic] + normal(count, half)) * scale)
            for common, centers in zip(shared, topics, strict=True)
        ]
        out[start : start + count] = torch.cat(halves, 1).cpu().numpy()
    return out
