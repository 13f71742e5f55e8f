"""Does the default beat random rows? The trials behind docs/results/evidence.md, in pieces of an hour.

    python benchmarks/evidence.py plan                                 what is missing, in CPU hours
    python benchmarks/evidence.py test --fashion FOLDER --minutes 60   run it; call again
    python benchmarks/evidence.py check --fashion FOLDER               would the code pick these rows today?
    python benchmarks/evidence.py page                                 write docs/results/evidence.md, README

To choose constants, on pools and held-out rows that no verdict uses:

    python benchmarks/evidence.py validate --fashion FOLDER --budgets 0.15 0.3 --seeds 3 \\
        --methods 'need 1=CleanBalanced(need=1.0)' 'easy=TopScore(lowest=True)'

FOLDER has the four files of Fashion-MNIST; benchmarks/trials/garments.py says how to get them. Results are
added to benchmarks/results/evidence.jsonl, one line a trial; `--folder` keeps pools and models meanwhile.
Which trials there are, and what they are for, is benchmarks/trials/plan.py.
"""

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from trials.commands import bed_commands, choose_beds, run_command
from trials.costs import Costs
from trials.page import page, summary, trials_table
from trials.plan import RANDOM, Plan, validation_trials
from trials.plot import plot
from trials.queue import run_trials
from trials.trial import ORACLE, Trial, choose, composition, read_lines

from hf_vitselect.call_text import write_call
from hf_vitselect.report import table
from hf_vitselect.selection import CleanBalanced, Method

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "evidence.jsonl"
PAGE = HERE.parent / "docs" / "results" / "evidence.md"
README = HERE.parent / "README.md"
MARKS = ("<!-- evidence: begin -->", "<!-- evidence: end -->")

DEFAULT = CleanBalanced()
OTHERS = {
    "Self-Filter": "SelfFilter()",
    "MLLM-Selector": "MLLMSelector()",
    "TopScore, hard first": "TopScore()",
    "TopScore, easy first": "TopScore(lowest=True)",
    "FacilityLocation": "FacilityLocation()",
}


def parts_removed(method: Method) -> dict[str, Method]:
    """The method without each of its filters, without kinds, and without quotas by need."""
    changed = {
        f"without {type(each).__name__}": replace(
            method, filters=tuple(other for other in method.filters if other is not each)
        )
        for each in method.filters
    }
    if method.need:
        changed["without quotas by need"] = replace(method, need=0.0)
    if method.kinds is not None:
        changed["without kinds"] = replace(method, kinds=None, need=0.0)
    return changed


def make_plan(args: argparse.Namespace) -> Plan:
    """The test part's trials."""
    removed = {f"default {name}": write_call(method) for name, method in parts_removed(DEFAULT).items()}
    return Plan.of(args.beds, write_call(DEFAULT), OTHERS | removed)


def plan(args: argparse.Namespace) -> None:
    """Print what is missing, and what it will cost."""
    lines = read_lines(args.results)
    trials, costs = make_plan(args).trials(lines), Costs.measured(lines.values())
    missing = [trial for trial in trials if trial.key not in lines]
    rows = []
    for bed in args.beds:
        own = [trial for trial in missing if trial.pool.bed.name == bed]
        pools = {(trial.pool.variant, trial.pool.seed, trial.more_columns) for trial in own}
        seconds = sum(map(costs.of, own)) + costs.pool * len(pools) + costs.models * bool(own)
        done = sum(trial.key in lines for trial in trials if trial.pool.bed.name == bed)
        rows.append(
            {"testbed": bed, "done": done, "missing": len(own), "pools": len(pools), "hours": seconds / 3600}
        )
    print(table(rows))
    print(f"{sum(row['hours'] for row in rows):.1f} CPU hours; more if intervals are still too wide then")


def test(args: argparse.Namespace) -> None:
    """Run the test part's missing trials; intervals that are too wide then ask for more."""
    deadline = time.monotonic() + 60 * args.minutes
    while True:
        lines = read_lines(args.results)
        missing = [trial for trial in make_plan(args).trials(lines) if trial.key not in lines]
        if not missing:
            print("all trials of the test part are done")
            return
        if run(args, missing, deadline):
            return


def validate(args: argparse.Namespace) -> None:
    """Try methods on pool 0, and print what was measured there."""
    named = [
        text.partition("=") if "=" in text.partition("(")[0] else (text, "", text) for text in args.methods
    ]
    methods = {name: method for name, _, method in named}
    lines = read_lines(args.results)
    trials = validation_trials(args.beds, methods, args.budgets, args.seeds, args.variant)
    run(args, [trial for trial in trials if trial.key not in lines], time.monotonic() + 60 * args.minutes)
    print(
        trials_table({key: line for key, line in read_lines(args.results).items() if _is_asked(line, args)})
    )


def _is_asked(line: Mapping[str, Any], args: argparse.Namespace) -> bool:
    """Whether a line is one to print next to what `validate` ran: also other methods, for comparison."""
    asked = line["testbed"] in args.beds and line["variant"] == args.variant
    return bool(line["part"] == "validation" and asked and line["budget"] in args.budgets)


def run(args: argparse.Namespace, trials: list[Trial], deadline: float) -> int:
    """Run trials until the deadline; returns how many are left."""
    costs = Costs.measured(read_lines(args.results).values())
    left = run_trials(trials, args.results, args.folder, costs, deadline, args.processes)
    print(f"{len(trials) - left} trials done, {left} left" + "; call it again" * bool(left), flush=True)
    return left


def check(args: argparse.Namespace) -> None:
    """Select again for finished trials whose scores are these, and print those that pick other rows."""
    lines, changed, same = read_lines(args.results), [], 0
    for trial in make_plan(args).trials(lines):
        line = lines.get(trial.key)
        if line is None or not line["rows"]:
            continue
        scored, _ = trial.prepare(args.folder)
        now = composition(scored, choose(scored, trial.method, trial.budget, trial.seed)[1])
        if now["scores"] != line["scores"]:
            print(f"{trial.pool.bed.name}, pool {trial.pool.seed}: other scores on this machine, not checked")
        elif now["picked"] != line["picked"]:
            changed.append(trial)
        else:
            same += 1
    print(f"{same} trials pick the same rows")
    for trial in changed:
        print(f"other rows: {trial.key} {trial.pool.bed.name}, {trial.budget:.0%}, {trial.method}")


def write_page(args: argparse.Namespace) -> None:
    """Write the page and its plot, and the table of the README."""
    lines, planned = read_lines(args.results), make_plan(args)
    args.page.write_text(page(lines, planned, args.page.with_suffix(".png").name))
    args.page.with_suffix(".png").write_bytes(plot(lines, planned))
    if args.page == PAGE:
        README.write_text(with_summary(README.read_text(), summary(lines, planned)))
    print(args.page)


def with_summary(readme: str, text: str) -> str:
    """The README with this table in place of the one it has."""
    before, _, rest = readme.partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    return f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}"


def main() -> None:
    """Parse the command line and run the command."""
    texts = {
        plan: "what is missing, and its CPU hours",
        test: "run the missing trials",
        check: "whether finished trials would pick the same rows",
        write_page: "write docs/results/evidence.md",
        validate: "try methods on pools that no verdict uses",
    }
    parser, commands = bed_commands(__doc__, texts)
    for do, command in commands.items():
        choose_beds(command)
        command.add_argument("--results", type=Path, default=RESULTS, help="lines of finished trials")
        if do in (test, validate):
            command.add_argument("--minutes", type=float, default=60.0, help="start nothing that ends later")
            command.add_argument("--processes", type=int, default=1, help="trials at once")
        if do is write_page:
            command.add_argument("--page", type=Path, default=PAGE)
        if do is validate:
            methods = [f"random={RANDOM}", f"oracle={ORACLE}"]
            command.add_argument("--methods", nargs="+", default=methods, metavar="[NAME=]METHOD")
            command.add_argument("--budgets", nargs="+", type=float, default=[0.15, 0.3])
            command.add_argument("--seeds", type=int, default=3)
            command.add_argument("--variant", default="flawed", help="flawed, clean, wrong 20%%, ...")
    run_command(parser, RESULTS)


if __name__ == "__main__":
    main()
