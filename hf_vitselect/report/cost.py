"""The cost of choosing rows, next to the training that fewer rows save."""

from collections.abc import Mapping

_CHOOSING = ("seed", "score", "select")


def stages_that_choose(seconds: Mapping[str, float]) -> dict[str, float]:
    """Keep the stages of a run, in order, that choose rows.

    They are seed models, scores and selections, and the fine-tunes whose models score in a later round.
    """
    return {
        name: took
        for name, took in seconds.items()
        if name.startswith(_CHOOSING) or (name.startswith("train") and f"score_{_turn(name) + 1}" in seconds)
    }


def _turn(stage: str) -> int:
    """Return the round of a stage; that of `train` is 1, that of `train_2` is 2."""
    return int(stage.partition("_")[2] or 1)


def same_cost_rows(seconds: float, fine_tune: float, rows: int, pool_rows: int) -> int:
    """Count the random rows of which a fine-tune takes as long as choosing and a fine-tune on the picks.

    Args:
        seconds: Of choosing and the fine-tune on the picks together.
        fine_tune: Seconds of a fine-tune on some rows.
        rows: Their number.
        pool_rows: The number of rows of the pool, and of the result at most.
    """
    if fine_tune <= 0:
        return pool_rows
    return min(pool_rows, round(rows * seconds / fine_tune))


def cost_of_choosing(seconds: Mapping[str, float], fine_tune: float, rows: int, pool_rows: int) -> str:
    """Compare the seconds of choosing with those that a fine-tune on fewer rows saves.

    A fine-tune on all rows is assumed to take proportionally longer.

    Args:
        seconds: Of the stages of a run, by name; those that do not choose are ignored.
        fine_tune: Seconds of a fine-tune on the chosen rows.
        rows: The number of chosen rows, 1 or more.
        pool_rows: The number of rows of the pool.

    Examples:
        >>> print(cost_of_choosing({"seed": 15, "score": 25, "train": 40}, 40, 200, 1000))
        40 s (seed 15, score 25); a fine-tune took 40 s, on all rows it would take about 200 s, 160 s more, \
and on 400 random rows as long as both
    """
    parts = stages_that_choose(seconds)
    stages, choosing = ", ".join(f"{name} {took:,.0f}" for name, took in parts.items()), sum(parts.values())
    whole = fine_tune * pool_rows / rows
    same = same_cost_rows(choosing + fine_tune, fine_tune, rows, pool_rows)
    both = f", and on {same:,} random rows as long as both" if same < pool_rows else ""
    return (
        f"{choosing:,.0f} s ({stages}); a fine-tune took {fine_tune:,.0f} s, on all rows it would take about "
        f"{whole:,.0f} s, {whole - fine_tune:,.0f} s more{both}"
    )
