"""The page docs/results/evidence.md, from the lines of finished trials."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hf_vitselect.evaluation import Difference
from hf_vitselect.report import table
from trials.plan import COMPARISONS, HALF_WIDTH, SEEDS, Arm, Plan, Versus, compared

Lines = Mapping[str, Any]

HEAD = """# Does the default beat random rows?

Written by `python benchmarks/evidence.py page` from benchmarks/results/evidence.jsonl. Every finished trial
is in these tables. `python benchmarks/evidence.py plan` lists what is missing.

A trial renders a pool, trains a seed model on a random eighth of it, scores the pool, selects, fine-tunes
the aligned base model on the selection ({epochs} epochs, batches of {batch_size}), and asks it held-out
questions. Accuracy is the share of rows of which greedy decoding generates every response exactly. NLL is the
mean loss of the responses, in nats per token: lower is better. The oracle draws at random among sound and
distinct rows.

Seed models are trained as a whole here (`freeze_vision=False`), and all rows are scored. With frozen vision
encoders and only the scores that are needed, the defaults, [no loss could be seen at 15%](lazy.md).

- **demo**: the demo's shapes on a grid, {pool:,} rows: 40% near-copies, 8% wrong answers, 10% questions that
  need no image, 5% rows without image. Pools {demo}.
- **garments**: one to four photographs of Fashion-MNIST on a grid, as many rows with the same flaws. Pools
  {garments}. Photographs of pool, base model, validation and test are disjoint.

Each pool has its own seed model and its own {rows:,} held-out rows, about scenes of no pool. Results are
means over pools, "sd" is that of seeds inside pools. Intervals are those of `compare`: 95%, for other seeds
and other held-out rows of these pools, which are strata (`pooled_difference`). Constants were chosen
on pool 0 and its own held-out rows alone (see "Validation").
"""


def page(lines: Lines, plan: Plan, image: str = "evidence.png") -> str:
    """The whole page, as Markdown, with the plot at this path."""
    parts = [
        _head(plan),
        f"![accuracy by rows]({image})",
        *_primary(lines, plan),
        *_guards(lines, plan),
        *_second(lines, plan),
    ]
    parts += [
        *_curve(lines, plan),
        *_kinds(lines, plan),
        *_validation(lines),
        *_earlier(lines, plan),
        *_provenance(lines),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def summary(lines: Lines, plan: Plan) -> str:
    """The primary question for the README: a table of a few columns."""
    rows = []
    for versus in plan.versus:
        if versus.primary:
            row = _versus_row(replace(versus, oracle=None), lines)
            rows.append(row | {"verdict": row["verdict"] or "not measured yet"})
    return table(rows)


def _head(plan: Plan) -> str:
    first = next(iter(plan.base.values()))
    settings = first.pools[0].bed.settings
    pools = {bed: ", ".join(str(pool.seed) for pool in arm.pools) for bed, arm in plan.base.items()}
    return HEAD.format(
        epochs=settings.tune_epochs,
        batch_size=settings.tune_batch_size,
        demo=pools.get("demo", "were not run"),
        garments=pools.get("garments", "were not run"),
        pool=settings.pool_rows,
        rows=first.pools[0].bed.held_out_rows["test"],
    )


def _primary(lines: Lines, plan: Plan) -> Iterator[str]:
    yield "## The primary question"
    yield (
        f"Fixed beforehand: {COMPARISONS} comparisons, Bonferroni over them; seeds are added until the "
        f"interval reaches at most {HALF_WIDTH} to either side. One thing was not: pools became strata when "
        "three or four seeds of each comparison had run. The last table has the intervals as they were "
        "computed before, from the seeds' means over all pools, which say less about as few seeds."
    )
    primary = [versus for versus in plan.versus if versus.primary]
    yield table([_versus_row(versus, lines) for versus in primary])
    if (way := _pooled_way(primary, lines)) is not None:
        yield f"Of the way from random to the oracle at 15%, over both testbeds: {way:.0%}."
    yield table([_way_row(versus, lines, plan) for versus in primary])
    yield "Accuracy on rows with image:"
    yield table([_image_row(versus, lines) for versus in primary])
    yield "Without strata:"
    yield table(
        [{"testbed, rows": versus.title, **interval(versus.unstratified(lines))} for versus in primary]
    )


def _guards(lines: Lines, plan: Plan) -> Iterator[str]:
    yield "## Where it must not lose"
    yield "At 5% and on pools without any flaw, the interval's lower end should be above -.02."
    guards = [versus for versus in plan.versus if not versus.primary]
    yield table([_versus_row(versus, lines) for versus in guards])
    yield "Accuracy on rows with image:"
    yield table([_image_row(versus, lines) for versus in guards])


def _arms(versus: Versus) -> dict[str, Arm]:
    arms = {"random": versus.random, "default": versus.default}
    return arms if versus.oracle is None else arms | {"oracle": versus.oracle}


def _versus_row(versus: Versus, lines: Lines) -> dict[str, Any]:
    arms = _arms(versus)
    return {
        "testbed, rows": versus.title,
        **{name: _mean(arm, lines, "accuracy") for name, arm in arms.items()},
        **interval(versus.difference(lines)),
        **{f"NLL, {name}": _mean(arm, lines, "nll") for name, arm in arms.items()},
    }


def _image_row(versus: Versus, lines: Lines) -> dict[str, Any]:
    """Accuracy on rows with image."""
    means = {name: _mean(arm, lines, "accuracy_image") for name, arm in _arms(versus).items()}
    return {"testbed, rows": versus.title, **means}


def _way_row(versus: Versus, lines: Lines, plan: Plan) -> dict[str, Any]:
    """The way to the oracle, the rows that random needs, and the seeds behind each mean."""
    way = _way(versus, lines)
    curve = plan.curve[versus.default.pools[0].bed.name]
    return {
        "testbed, rows": versus.title,
        "of the way to the oracle": None if way is None else f"{way:.0%}",
        "random needs": _rows_needed(versus.default, curve, lines),
        "pools": len(versus.default.pools),
        **{f"seeds, {name}": len(arm.lines(lines)) for name, arm in _arms(versus).items()},
        **{f"sd, {name}": _sd(arm, lines) for name, arm in _arms(versus).items()},
    }


def _second(lines: Lines, plan: Plan) -> Iterator[str]:
    yield "## Other methods, parts removed, other flaws"
    yield (
        f"At 15%, {SEEDS} seeds, on one pool of each testbed. Differences are from random rows of the same "
        "pool, at 95% each: about one in twenty such intervals is wrong."
    )
    for bed, arms in plan.second.items():
        yield f"### {bed}"
        rows, missing = [], []
        for name, arm in arms.items():
            random = arms.get(f"random, {arm.pools[0].variant}", arms["random"])
            if not (seeds := len(arm.lines(lines))):
                missing.append(name)
                continue
            gain = {} if arm is random else interval(compared(arm, random, lines))
            rows.append(
                {
                    "method": name,
                    "seeds": seeds,
                    "accuracy": _mean(arm, lines, "accuracy"),
                    **{column: gain.get(column) for column in ("difference", "interval", "verdict")},
                    "random needs": _rows_needed(arm, plan.curve[bed], lines),
                    "with image": _mean(arm, lines, "accuracy_image"),
                    "NLL": _mean(arm, lines, "nll"),
                    **_flaws(arm, lines),
                    "distinct": _mean(arm, lines, "distinct", digits=0),
                }
            )
        yield table(rows) if rows else "None yet."
        if missing:
            yield f"Not run yet: {'; '.join(missing)}."


def _curve(lines: Lines, plan: Plan) -> Iterator[str]:
    yield "## Random rows, more and fewer"
    yield "What more random rows would be worth; the base model has seen captions alone."
    for bed, curve in plan.curve.items():
        base = plan.base[bed]
        rows = [{"rows": "base model", **_curve_row(base, lines)}]
        rows += [
            {"rows": f"{budget:.0%}", **_curve_row(arm, lines)}
            for budget, arm in curve.items()
            if arm.lines(lines)
        ]
        yield f"### {bed}"
        yield table(rows)
        yield f"The majority answer of each kind: {_mean(base, lines, 'floor')}."


def _curve_row(arm: Arm, lines: Lines) -> dict[str, Any]:
    accuracy = {"accuracy": spread(arm, lines, "accuracy")}
    return accuracy | {"with image": _mean(arm, lines, "accuracy_image"), "NLL": _mean(arm, lines, "nll")}


def _kinds(lines: Lines, plan: Plan) -> Iterator[str]:
    yield "## By kind of question, at 15%"
    for versus in plan.versus:
        if not versus.primary or versus.default.budget != 0.15:
            continue
        means = {name: _by_kind(arm, lines) for name, arm in _arms(versus).items()}
        kinds = sorted({kind for finished in means.values() for kind in finished})
        yield f"### {versus.title}"
        yield table([{"kind": kind} | {name: means[name].get(kind) for name in means} for kind in kinds])


def _validation(lines: Lines) -> Iterator[str]:
    yield "## Validation"
    yield (
        "Every trial on pool 0: what constants were chosen by. No verdict follows from this table. Tried "
        "to pass the oracle: quotas by need alone (`need 1`), a cut only where the seed model has skill "
        "(`skill`), more answers for as many images (`more turns`), and, on [another page](seed_model.md), a "
        "larger seed model and a second round."
    )
    yield _folded(trials_table({key: line for key, line in lines.items() if line["part"] == "validation"}))


def _earlier(lines: Lines, plan: Plan) -> Iterator[str]:
    """Test trials that no table above has, because the plan or the default has changed since."""
    planned = {trial.key for trial in plan.trials(lines)}
    old = {key: line for key, line in lines.items() if line["part"] == "test" and key not in planned}
    if old:
        yield "## Earlier plans"
        yield (
            "Test trials that belong to no table above, over all their pools. The garments' pools 1 to 3 "
            "gave the verdicts of the default without `helped`. Their results by kind are why it was added, "
            "so the garments' verdicts above use other pools. The demo's pools and held-out rows are the "
            "same as before: `helped` was not chosen by them, but its results there were known."
        )
        yield _folded(trials_table(old))


def _folded(text: str) -> str:
    """A long table, shown on a click."""
    return f'<details markdown="1">\n<summary>The trials</summary>\n\n{text}\n\n</details>'


def trials_table(lines: Lines) -> str:
    """Trials of one method in one row."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for line in lines.values():
        alike = (line["testbed"], line["variant"], line["budget"], line["method"], line["epochs"])
        groups[alike].append(line)
    rows = []
    by_accuracy = sorted(groups, key=lambda alike: -np.mean([line["accuracy"] for line in groups[alike]]))
    for group in sorted(by_accuracy, key=lambda alike: alike[:3]):
        bed, variant, budget, method, epochs = group
        alike = groups[group]
        means = {figure: np.mean([line[figure] for line in alike]) for figure in ("accuracy_image", "nll")}
        rows.append(
            {
                "testbed": f"{bed}, {variant}, {budget:.0%}",
                "name": ", ".join(sorted({line["name"] for line in alike})),
                "seeds": len(alike),
                "accuracy": _both([line["accuracy"] for line in alike]),
                "with image": f"{means['accuracy_image']:.3f}",
                "NLL": f"{means['nll']:.3f}",
                "epochs": epochs,
                "method": f"`{method}`",
            }
        )
    return table(rows) if rows else "None yet."


def _provenance(lines: Lines) -> Iterator[str]:
    yield "## Where the figures are from"
    run = [line for line in lines.values() if "same_rows_as" not in line]
    hours = sum(sum(line["seconds"].values()) for line in run) / 3600
    commits = sorted({line["commit"] for line in lines.values()})
    dates = sorted({line["date"] for line in lines.values()})
    parts = {part: sum(line["part"] == part for line in lines.values()) for part in ("test", "validation")}
    yield (
        f"{parts['test']} test trials and {parts['validation']} validation trials, {hours:.1f} CPU hours, "
        f"{len(lines) - len(run)} of them copied from a trial of another method that chose the same rows, "
        f"{dates[0]} to {dates[-1]}, at the commits {', '.join(commits)}."
        if lines
        else "No trials yet."
    )
    versions = sorted(
        {f"{name} {number}" for line in lines.values() for name, number in line["versions"].items()}
    )
    yield f"Versions: {', '.join(sorted(versions))}."


def interval(gain: Difference | None) -> dict[str, Any]:
    """Columns of a difference with its interval and verdict, empty if it is not known."""
    if gain is None:
        return {"difference": None, "interval": None, "verdict": None}
    ends = f"{gain.low:+.3f} to {gain.high:+.3f}"
    return {"difference": f"{gain.mean:+.3f}", "interval": ends, "verdict": gain.verdict}


def spread(arm: Arm, lines: Lines, figure: str) -> str | None:
    """Mean, standard deviation over seeds inside pools, and how many of both."""
    values = arm.values(lines, figure)
    if not len(values):
        return None
    count = f"{values.shape[1]} pools x {len(values)}" if values.shape[1] > 1 else f"{len(values)}"
    sd = f" sd {_sd(arm, lines, figure)}" if len(values) > 1 else ""
    return f"{values.mean():.3f}{sd} ({count})"


def _sd(arm: Arm, lines: Lines, figure: str = "accuracy") -> str | None:
    """The standard deviation over seeds inside pools."""
    values = arm.values(lines, figure)
    return f"{np.sqrt(values.var(axis=0, ddof=1).mean()):.3f}" if len(values) > 1 else None


def _both(values: list[float]) -> str:
    return f"{np.mean(values):.3f}" + (f" sd {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


def _mean(arm: Arm, lines: Lines, figure: str, digits: int = 3) -> str | None:
    values = arm.values(lines, figure)
    return f"{values.mean():,.{digits}f}" if len(values) else None


def _flaws(arm: Arm, lines: Lines) -> dict[str, str]:
    """Share of wrong and blind rows among the picked ones, and of near-copies."""
    finished = [line for seed in arm.lines(lines) for line in seed]
    shares = {
        flaw: np.mean([line["flaws"].get(flaw, 0.0) for line in finished])
        for flaw in ("wrong", "blind", "duplicate")
    }
    return {flaw: f"{share:.1%}" for flaw, share in shares.items()}


def _by_kind(arm: Arm, lines: Lines) -> dict[str, str]:
    finished = [line["by_kind"] for seed in arm.lines(lines) for line in seed]
    return {
        kind: f"{np.mean([line[kind] for line in finished]):.3f}"
        for kind in (finished[0] if finished else ())
    }


def _way(versus: Versus, lines: Lines) -> float | None:
    """Share of the way from random to the oracle."""
    if versus.oracle is None:
        return None
    means = [arm.values(lines, "accuracy") for arm in (versus.random, versus.default, versus.oracle)]
    if not all(map(len, means)):
        return None
    random, default, oracle = (float(values.mean()) for values in means)
    return (default - random) / (oracle - random)


def _pooled_way(primary: list[Versus], lines: Lines) -> float | None:
    """The same over both testbeds at 15%: gains are added up before they are divided."""
    gained = possible = 0.0
    for versus in primary:
        if versus.default.budget != 0.15:
            continue
        if versus.oracle is None or _way(versus, lines) is None:
            return None
        random = versus.random.values(lines, "accuracy").mean()
        gained += versus.default.values(lines, "accuracy").mean() - random
        possible += versus.oracle.values(lines, "accuracy").mean() - random
    return gained / possible if possible else None


def _rows_needed(arm: Arm, curve: Mapping[float, Arm], lines: Lines) -> str | None:
    """How many times the rows random takes to the same accuracy, interpolated on its curve."""
    known = {budget: each.values(lines, "accuracy") for budget, each in curve.items()}
    points = [(budget, float(values.mean())) for budget, values in known.items() if len(values)]
    values = arm.values(lines, "accuracy")
    if not len(values) or len(points) < 2:
        return None
    budgets, accuracies = np.array(points).T
    accuracies = np.maximum.accumulate(accuracies)  # more rows never help less, but for noise
    reached = float(values.mean())
    if reached < accuracies[0]:
        return f"< {budgets[0] / arm.budget:.2g} x"
    if reached > accuracies[-1]:
        return f"> {budgets[-1] / arm.budget:.2g} x"
    end = int(np.argmax(accuracies >= reached))  # the fewest rows that reach it
    start = max(0, end - 1)
    rows = np.interp(reached, accuracies[[start, end]], budgets[[start, end]]) if end else budgets[0]
    return f"{rows / arm.budget:.1f} x"
