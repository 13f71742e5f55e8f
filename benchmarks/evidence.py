"""Does the default beat random rows? All trials behind docs/evidence.md, in pieces of at most an hour.

    python benchmarks/evidence.py plan --fashion FOLDER                what is missing, and its CPU hours
    python benchmarks/evidence.py test --fashion FOLDER --minutes 60   run what is missing; call it again
    python benchmarks/evidence.py check --fashion FOLDER               would finished trials pick the same rows?
    python benchmarks/evidence.py page                                 write docs/evidence.md

To choose constants, on pools and held-out rows that no verdict uses:

    python benchmarks/evidence.py validate --fashion FOLDER --budgets 0.15 0.3 --seeds 3 \
        --methods 'cut .85=CleanBalanced(need=1.0)' 'easy=TopScore(lowest=True)'

FOLDER has the four files of Fashion-MNIST; benchmarks/trials/garments.py says how to get them. Results are
added to benchmarks/results/evidence.jsonl, one line a trial; `--folder` keeps pools and models meanwhile.
"""

import argparse
import time
from pathlib import Path

from trials.beds import known_beds
from trials.costs import Costs
from trials.plan import RANDOM, validation_trials
from trials.queue import run_trials
from trials.trial import ORACLE, Trial, read_lines

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "evidence.jsonl"
PAGE = HERE.parent / "docs" / "evidence.md"

METHODS = {"random": RANDOM, "oracle": ORACLE}


def run(args: argparse.Namespace, trials: list[Trial]) -> None:
    """Run trials that have no line yet, until the time is up."""
    lines = read_lines(args.results)
    missing = [trial for trial in trials if trial.key not in lines]
    costs = Costs.measured(lines.values())
    deadline = time.monotonic() + 60 * args.minutes
    left = run_trials(missing, args.results, args.folder, costs, deadline, args.processes)
    print(f"{len(trials) - left} of {len(trials)} trials are done" + "; call it again" * bool(left))


def validate(args: argparse.Namespace) -> None:
    """Try methods on the pools for it, and print them."""
    named = [text.partition("=") for text in args.methods]
    methods = {name: method or name for name, _, method in named} or METHODS
    trials = validation_trials(args.beds, methods, args.budgets, args.seeds, args.variant)
    run(args, trials)


def main() -> None:
    """Parse the command line and run the command."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("validate", help="try methods on pools that no verdict uses")
    command.add_argument("--methods", nargs="*", default=[], metavar="NAME=METHOD")
    command.add_argument("--budgets", nargs="+", type=float, default=[0.15, 0.3])
    command.add_argument("--seeds", type=int, default=3)
    command.add_argument("--variant", default="flawed")
    _add_common(command)
    command.set_defaults(do=validate)
    args = parser.parse_args()
    known = known_beds(args.fashion, args.tiny)
    args.beds = {name: known[name] for name in args.worlds or known}
    args.do(args)


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--fashion", type=Path, help="folder of Fashion-MNIST's files; without it, no garments"
    )
    command.add_argument("--tiny", action="store_true", help="rehearse on pools that teach nothing")
    command.add_argument("--worlds", nargs="*", default=[], help="beds; all if not given")
    command.add_argument("--folder", type=Path, default=HERE / "data" / "evidence", help="pools and models")
    command.add_argument("--results", type=Path, default=RESULTS, help="lines of finished trials")
    command.add_argument("--minutes", type=float, default=60.0, help="start no trial that would end later")
    command.add_argument("--processes", type=int, default=1, help="trials at once")


if __name__ == "__main__":
    main()
