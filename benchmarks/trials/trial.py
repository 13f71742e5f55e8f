"""One trial: a subset of a pool, a fine-tune on it, and the answers to held-out rows, as one line of JSON."""

import base64
import hashlib
import json
import os
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, disable_progress_bars
from numpy.typing import NDArray

from hf_vitselect import Selection, select_diverse
from hf_vitselect.call_text import write_call
from hf_vitselect.demo import answers
from hf_vitselect.rules import Random
from hf_vitselect.selection import CleanBalanced, Method, read_method
from hf_vitselect.training import SelectionSFTTrainer
from trials.beds import TRUTH, Pool, more_scorers, uses_score_net

# Raise a number when a change of its code changes results: the trials that depend on it run again.
# `evidence.py check` says which lines no longer have the rows that the code picks today.
CODE = {"pools": 1, "selection": 1, "training": 1}
# `validation` chooses constants, `test` gives verdicts. Each pool has held-out rows of its own: the part's
# first seed and the pool's.
PARTS = {"validation": 1, "test": 100}
ORACLE = "sound and distinct rows"
UNTRAINED = "base model"
MORE_TURNS = "default, twice the rows of several turns"
SPECIAL = (ORACLE, UNTRAINED, MORE_TURNS)  # what a trial does without a method of the package
PACKAGES = ("torch", "transformers", "trl", "datasets", "numpy")


@dataclass(frozen=True)
class Trial:
    """A method on a pool, with a budget and a seed.

    Attributes:
        part: `validation` or `test`.
        method: as text, such as `TopScore(lowest=True)`; ORACLE, MORE_TURNS, or UNTRAINED for the base model
            itself.
        budget: share of the pool.
        seed: of the rows, of their order and of the fine-tune.
        name: of the method, for the reader; no result depends on it.
        epochs: of the fine-tune; the bed's own if None.
    """

    pool: Pool
    part: str
    method: str
    budget: float
    seed: int
    epochs: int | None = None
    name: str = ""

    @property
    def identity(self) -> dict[str, Any]:
        """Everything the result depends on, as plain JSON."""
        return {
            "testbed": self.pool.bed.name,
            "settings": self.pool.bed.identity,
            "variant": self.pool.variant,
            "composition": self.pool.composition,
            "pool_seed": self.pool.seed,
            "part": self.part,
            "held_out": {
                "seed": PARTS[self.part] + self.pool.seed,
                "rows": self.pool.bed.held_out_rows[self.part],
            },
            "method": canonical(self.method),
            "budget": self.budget,
            "seed": self.seed,
            "epochs": self.pool.bed.settings.tune_epochs if self.epochs is None else self.epochs,
            "code": CODE,
        }

    @property
    def key(self) -> str:
        """Digest of the identity."""
        return _key(self.identity)

    @property
    def steps(self) -> float:
        """Fine-tuned rows over all epochs, for estimates of time."""
        if self.method == UNTRAINED:
            return 0.0
        return self.budget * self.pool.bed.settings.pool_rows * int(self.identity["epochs"])

    @property
    def plain_method(self) -> Method | None:
        """The method, None for what is `SPECIAL`."""
        return None if self.method in SPECIAL else plain_method(self.method)

    @property
    def more_columns(self) -> tuple[str, ...]:
        """Scores that the method needs and pools do not have anyway."""
        method = self.plain_method
        return (
            *(scorer.column for scorer in more_scorers(method, Path("seed"))),
            *(["score_net"] * uses_score_net(method)),
        )

    def prepare(self, folder: Path) -> tuple[Dataset, Dataset]:
        """The scored pool and the held-out rows, made unless they exist."""
        scored = self.pool.scored(folder, self.plain_method)
        return scored, self.pool.held_out(folder, self.part, **self.identity["held_out"])

    def run(self, folder: Path, finished: Mapping[str, Any]) -> dict[str, Any]:
        """Select, fine-tune and evaluate; a finished trial with the same rows in the same order is copied."""
        disable_progress_bars()
        scored, rows = self.prepare(folder)
        _, base = self.pool.bed.models(folder)
        start = selected = time.process_time()
        chosen: list[int] = []
        with tempfile.TemporaryDirectory(dir=folder) as out:
            model = base
            if self.method != UNTRAINED:
                selection, chosen = choose(scored, self.method, self.budget, self.seed)
                selected = time.process_time()
                if twin := self._twin(order_of(chosen), finished):
                    named = {"key": self.key, "name": self.name or self.method, "same_rows_as": twin["key"]}
                    return {**twin, **named, "method": self.identity["method"]}
                model = self._train(base, selection, Path(out, "model"))
            trained = time.process_time()
            grades = answers(model, rows, self.pool.bed.settings.scoring_batch_size)
        seconds = {"select": selected - start, "train": trained - selected}
        seconds["evaluate"] = time.process_time() - trained
        right, nll = np.array(grades["right"]), np.array(grades["nll"], dtype=np.float32)
        (folder / "answers").mkdir(exist_ok=True)
        np.savez_compressed(folder / "answers" / f"{self.key}.npz", right=right, nll=nll)
        return {
            "key": self.key,
            "name": self.name or self.method,
            **{
                name: value
                for name, value in self.identity.items()
                if name not in ("settings", "composition")
            },
            **measured(rows, right, nll),
            **composition(scored, chosen),
            "seconds": {name: round(value, 1) for name, value in seconds.items()},
            "date": date.today().isoformat(),
            "commit": _commit(),
            "versions": {name: version(name) for name in PACKAGES},
            "right": bits_as_text(right),
        }

    def _twin(self, order: str, finished: Mapping[str, Any]) -> dict[str, Any] | None:
        """The finished trial that differs in nothing but the method, and whose method chose the same rows."""
        alike = (line for line in finished.values() if line.get("order") == order)
        return next(
            (line for line in alike if _key({**self.identity, "method": line["method"]}) == line["key"]), None
        )

    def _train(self, base: Path, selection: Selection, out: Path) -> Path:
        args = self.pool.bed.training(out, self.seed, self.epochs)
        trainer = SelectionSFTTrainer(str(base), selection=selection, args=args)
        trainer.train()
        trainer.save_model()
        return out


@cache
def plain_method(text: str) -> Method:
    """Read a method, as a plain one: a name of its own changes nothing."""
    method = read_method(text)
    return Method(**{field.name: getattr(method, field.name) for field in fields(Method)})


@cache
def canonical(text: str) -> str:
    """A method's text with every argument, so that a changed default is another method."""
    if text == MORE_TURNS:
        return f"{text}: {canonical(write_call(CleanBalanced()))}"
    return text if text in SPECIAL else write_call(plain_method(text), whole=True)


def choose(scored: Dataset, method: str, budget: float, seed: int) -> tuple[Selection, list[int]]:
    """The subset of a method and its rows' indices; only the oracle sees the truth."""
    blind = scored.remove_columns(TRUTH)
    draw = {ORACLE: _sound, MORE_TURNS: _with_more_turns}.get(method)
    if draw is None:
        selection = select_diverse(blind, budget, method=plain_method(method), seed=seed)
        return selection, selection.indices.tolist()
    picked = draw(scored, budget, seed)
    return select_diverse(blind.select(picked), 1.0, rule=Random(), seed=seed), picked.tolist()


def _sound(scored: Dataset, budget: float, seed: int) -> NDArray[np.int64]:
    """Random sound and distinct rows."""
    sound = np.flatnonzero(np.array(scored["flaw"]) == "none")  # near-duplicates have a flaw of their own
    count = max(1, int(budget * len(scored)))
    if len(sound) < count:
        raise ValueError(f"expected {count} sound and distinct rows, got {len(sound)}; lower the budget")
    return np.random.default_rng(seed).permutation(sound)[:count]


def _with_more_turns(scored: Dataset, budget: float, seed: int) -> NDArray[np.int64]:
    """The default's picks, with twice as many of several turns: the first such rows of a pick twice as large.

    They carry more answers for as many images: the best that a budget in tokens could do, as if their further
    turns cost nothing.
    """
    default = write_call(CleanBalanced())
    picks, more = (np.array(choose(scored, default, each, seed)[1]) for each in (budget, 2 * budget))
    several = np.array([len(turns) > 2 for turns in scored["messages"]])
    added = np.setdiff1d(more[several[more]], picks, assume_unique=True)[: several[picks].sum()]
    single = picks[~several[picks]]
    kept = single[: len(single) - len(added)]
    return np.sort(np.concatenate([picks[several[picks]], added, kept]))


def measured(rows: Dataset, right: NDArray[np.bool_], nll: NDArray[np.float32]) -> dict[str, Any]:
    """Accuracy and loss of the answers, by kind and with image alone; and what the majority answers score."""
    image = np.array(rows["scene"]) != ""
    kinds = np.array(rows["kind"])
    by_kind = {kind: round(float(right[kinds == kind].mean()), 4) for kind in sorted(set(kinds.tolist()))}
    return {
        "accuracy": round(float(right.mean()), 5),
        "accuracy_image": round(float(right[image].mean()), 5),
        "nll": round(float(nll.mean()), 5),
        "nll_image": round(float(nll[image].mean()), 5),
        "by_kind": by_kind,
        "floor": floor(rows),
    }


def floor(rows: Dataset) -> float:
    """Accuracy of the majority answer of each kind."""
    given: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for kind, turns in zip(rows["kind"], rows["messages"], strict=True):
        given[kind][tuple(turn["content"] for turn in turns[1::2])] += 1
    return round(sum(max(answers.values()) for answers in given.values()) / len(rows), 5)


def composition(scored: Dataset, chosen: Sequence[int]) -> dict[str, Any]:
    """What the picked rows are: how many, the share of each flaw, and distinct scenes."""
    flaws = Counter(np.array(scored["flaw"])[chosen].tolist())
    shares = {flaw: round(count / max(1, len(chosen)), 4) for flaw, count in sorted(flaws.items())}
    return {
        "rows": len(chosen),
        "flaws": shares,
        "distinct": len(set(np.array(scored["group"])[chosen].tolist())),
        "picked": order_of(sorted(chosen)),
        "order": order_of(chosen),
        "scores": _digest(scored),
    }


def order_of(rows: Sequence[int]) -> str:
    """Digest of rows in their order, in which a fine-tune shuffles them."""
    return hashlib.sha256(np.array(rows, dtype=np.int64).tobytes()).hexdigest()[:16]


def _key(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _digest(scored: Dataset) -> str:
    """Of the scores: another kind of CPU gives slightly other ones, and so other rows."""
    values = np.array(scored["necessity"], dtype=np.float32)
    return hashlib.sha256(values.tobytes()).hexdigest()[:16]


def _commit() -> str:
    """The commit of this file's repository, with a plus if something is not committed."""
    git = ["git", "-C", str(Path(__file__).parent)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD"], check=False).returncode != 0
    return head.stdout.strip() + "+" * changed


def read_lines(path: Path) -> dict[str, dict[str, Any]]:
    """All finished trials by their keys; a later line about a trial replaces an earlier one."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {line["key"]: line for line in map(json.loads, lines)}


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Add a finished trial, in one write, so that several runs may share the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab", buffering=0) as file:
        file.write(json.dumps(line).encode() + b"\n")
        os.fsync(file.fileno())


def right_rows(line: dict[str, Any]) -> NDArray[np.float64]:
    """Which held-out rows a trial's model answered right, as 0 and 1."""
    return bits_of(line["right"], line["held_out"]["rows"])


def bits_as_text(right: NDArray[np.bool_]) -> str:
    """Write booleans as text, a bit each."""
    return base64.b64encode(np.packbits(right).tobytes()).decode()


def bits_of(text: str, count: int) -> NDArray[np.float64]:
    """Read what `bits_as_text` wrote, as 0 and 1."""
    bits = np.frombuffer(base64.b64decode(text), dtype=np.uint8)
    return np.unpackbits(bits, count=count).astype(np.float64)
