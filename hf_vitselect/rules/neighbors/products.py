"""The highest products of unit rows, and how far a product can be from the cosine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, takewhile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hf_vitselect.rules.blocks import blocks

# Values to convert at once: on the CPU 2 MiB in float64, on a GPU enough to hide the overhead of a call.
_CHUNK_VALUES = {"cpu": 2**18, "cuda": 2**24}
# Columns of one product: on the CPU few enough that it stays in the cache, on a GPU enough to fill it.
_CHUNK_ROWS = {"cpu": 2**15, "cuda": 2**18}


class Products:
    """The highest products of given rows with the remaining ones.

    Products of unit rows approximate cosines. They are computed in bfloat16 where the hardware does that
    natively (a CPU with AVX-512 BF16 or AMX, a GPU of compute capability 8 or more), else in float32. A bound
    on their error says which rows cannot matter once the candidates are re-scored.

    The bound, for cosines rounded to float32: let x and y be rows over their norms, x' and y' their stored
    values, and r at least abs(x' - x) for every row; r is measured, about 2**-9 in bfloat16. Then

    - abs(x'.y' - x.y) <= abs(x' - x) abs(y') + abs(x) abs(y' - y) <= r (1 + r) + r = (1 + r)**2 - 1;
    - summing d products in float32 in any order, as all this hardware does, errs by at most
      g(d) (1 + r)**2 with g(m) = m u / (1 - m u) and u = 2**-24;
    - rounding the result to bfloat16 errs by at most 2**-9 below 1. If the other errors are below 2**-8,
      values above 1 become 1, no further from a cosine, at most 1, than before; else 2**-8 covers it;
    - rounding the cosine errs by at most u. Two spare terms in g cover float64 and underflow.

    Memory beyond `features` is the unit rows, half its bytes in bfloat16 and as much in float32, on the GPU
    if there is one. If they would take more than a quarter of the machine's memory, or three quarters of the
    free GPU memory, they are not kept but computed for each product. Buffers take up to 100 MiB, on a GPU up
    to 2 GiB; never n x n, nor a block x n. `features` is only read, by slices, so it may be memory-mapped.

    Attributes:
        error: Bound on the difference between a product and its cosine, 0 or more.
        block_rows: How many rows to ask `highest` for at once.
    """

    error: float

    def __init__(self, features: NDArray[np.float32], norms: NDArray[np.float64]) -> None:
        """Compute the unit rows of features, float32 `[n, d]`, finite, with their `row_norms`."""
        self._features = features
        self._norms = norms
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._type = native_type(self._device)
        self._units: torch.Tensor | None = None
        self._removed = torch.zeros(len(features), dtype=self._type, device=self._device)
        self.block_rows = {"cpu": 256, "cuda": 1024}[self._device]
        self._make_units()

    def widths(self, neighbors: int) -> list[int]:
        """Return how many candidates to ask for: at first, if they prove too little, and finally all."""
        rows = len(self._features)
        width = max(32, 6 * neighbors + 4)
        return [*takewhile(lambda some: some < rows, (width * 8**i for i in count())), rows]

    def refine(self) -> bool:
        """Switch to float32, for cosines too close for bfloat16; return whether that reduced `error`."""
        if self._type == torch.float32:
            return False
        self._type = torch.float32
        self._removed = self._removed.float()
        self._make_units()
        return True

    def remove(self, rows: NDArray[np.int64]) -> None:
        """Leave rows, int64 `[m]`, out from now on."""
        self._removed[self._tensor(rows)] = -np.inf

    def highest(self, rows: NDArray[np.int64], width: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Find the `width` highest products of each row, int64 `[b]`.

        Returns:
            The rows with those products, int64 `[b, width]`, and the products, float64 `[b, width]`, highest
            first; -inf where fewer than `width` rows remain. No other product exceeds the last.
        """
        query = self._unit_rows(rows)
        values = torch.empty((len(rows), 0), dtype=self._type, device=self._device)
        candidates = torch.empty((len(rows), 0), dtype=torch.int64, device=self._device)
        with full_precision(self._device):
            for chunk in blocks(len(self._removed), self._chunk_rows):
                units = self._unit_rows(chunk)
                products = torch.addmm(self._removed[chunk], query, units.T)
                best = top_columns(products, min(width, len(units)))
                values = torch.cat([values, products.gather(1, best)], dim=1)
                candidates = torch.cat([candidates, best + chunk.start], dim=1)
                if values.shape[1] > width:
                    best = values.topk(width, sorted=False).indices
                    values, candidates = values.gather(1, best), candidates.gather(1, best)
        values, order = values.sort(dim=1, descending=True)
        candidates = candidates.gather(1, order)
        return candidates.cpu().numpy(), values.double().cpu().numpy()

    def _make_units(self) -> None:
        rows, dim = self._features.shape
        self._units = None
        # Units that are not kept are computed for a few rows at a time. Small products are slow, but
        # computing the units dominates.
        self._chunk_rows = max(1, _CHUNK_ROWS[self._device] // 32)
        if rows * dim * self._type.itemsize <= _max_unit_bytes(self._device):
            self._units = torch.empty((rows, dim), dtype=self._type, device=self._device)
            self._chunk_rows = _CHUNK_ROWS[self._device]
        residual = 0.0
        for chunk in blocks(rows, max(1, _CHUNK_VALUES[self._device] // dim)):
            exact = self._exact_units(chunk)
            stored = exact.to(self._type)
            # The difference itself is exact: it needs fewer bits than float32 has.
            residual = max(residual, float((exact - stored.float()).norm(dim=1).max()))
            if self._units is not None:
                self._units[chunk] = stored
        sums = (dim + 2) * 2.0**-24 / (1 - (dim + 2) * 2.0**-24)  # g(d + 2)
        residual = residual * (1 + 2 * sums) + 2.0**-24
        inputs = (1 + residual) ** 2 * (1 + sums) - 1 + 2.0**-24
        outputs = 0.0 if self._type == torch.float32 else 2.0**-9 if inputs < 2.0**-8 else 2.0**-8
        self.error = inputs + outputs

    def _unit_rows(self, rows: slice | NDArray[np.int64]) -> torch.Tensor:
        """Stored unit rows, or the same computed again."""
        if self._units is not None:
            return self._units[rows if isinstance(rows, slice) else self._tensor(rows)]
        rows = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        dim = self._features.shape[1]
        units = torch.empty((len(rows), dim), dtype=self._type, device=self._device)
        for part in blocks(len(rows), max(1, _CHUNK_VALUES[self._device] // dim)):
            units[part] = self._exact_units(rows[part])
        return units

    def _exact_units(self, rows: slice | NDArray[np.int64]) -> torch.Tensor:
        """Rows over their norms, rounded to float32, on the device."""
        values = self._tensor(np.array(self._features[rows], order="C")).double()
        return (values / self._tensor(self._norms[rows, None])).float()

    def _tensor(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)


def top_columns(products: torch.Tensor, width: int) -> torch.Tensor:
    """The columns of the `width` highest products of each row, int64 `[b, width]`, in any order."""
    if products.device.type != "cpu" or width == products.shape[1]:
        return products.topk(width, sorted=False).indices
    # Several times as fast as torch's topk on a CPU.
    keys = _keys(products)
    floors = np.partition(keys, -width, axis=1)[:, -width]
    columns = np.empty((len(keys), width), dtype=np.int64)
    for row, floor, of_row in zip(keys, floors, columns, strict=True):
        high = np.flatnonzero(row >= floor)
        if len(high) > width:  # ties with the lowest one
            high = high[np.argsort(row[high] == floor, kind="stable")]
        of_row[:] = high[:width]
    return torch.from_numpy(columns)


def _keys(products: torch.Tensor) -> NDArray[np.float32] | NDArray[np.int16]:
    """Numbers in the order of the products: numpy has no bfloat16, but the order of its bits is simple."""
    if products.dtype == torch.float32:
        floats: NDArray[np.float32] = products.numpy()
        return floats
    bits: NDArray[np.int16] = products.view(torch.int16).numpy()
    return bits ^ ((bits >> 15) & np.int16(0x7FFF))  # negative ones have rising bits for falling values


def native_type(device: str) -> torch.dtype:
    """Return the type of the fastest products of a device: bfloat16 if it is native, else float32."""
    if device == "cuda":
        native = torch.cuda.get_device_capability() >= (8, 0)
    else:
        # Older versions of torch do not know the CPU's instructions.
        has: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        native = bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    return torch.bfloat16 if native else torch.float32


def _max_unit_bytes(device: str) -> int:
    """Memory that the unit rows may take, in bytes."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0]) * 3 // 4
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4


@contextmanager
def full_precision(device: str) -> Iterator[None]:
    """Compute products in their own type with float32 sums, which the bound on their error assumes.

    Trainers lower the precision for the whole process (`torch.set_float32_matmul_precision`, autocast).
    """
    cuda = torch.backends.cuda.matmul
    backends = (torch.backends.mkldnn.matmul, cuda)  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    reduced = cuda.allow_bf16_reduced_precision_reduction
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        cuda.allow_bf16_reduced_precision_reduction = False
        with torch.autocast(device, enabled=False):
            yield
    finally:
        cuda.allow_bf16_reduced_precision_reduction = reduced
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision
