"""A report of rows that try to be more than text, and the record of its comparison."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from datasets import Dataset, Value
from pools import assistant, png, pool, user

from hf_vitselect.cli.main import main
from hf_vitselect.filters import NearDuplicates
from hf_vitselect.report.dataset_card import subset_fingerprint
from hf_vitselect.report.verdict import Verdict
from hf_vitselect.rules import TopScore
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.select_diverse import select_diverse
from hf_vitselect.selection.selection import Selection

HOSTILE = (
    "<script>document.title='owned'</script><img src=http://127.0.0.1:9/x onerror=document.title='owned'>"
    "</style></td></table><h1>Mine</h1> ![x](http://127.0.0.1:9/y.png) [a](javascript:alert(1)) {{ 7 * 7 }}"
    ' ``` | " onclick="alert(1)" b'
)


def hostile_pool(rows: int = 12) -> Dataset:
    """Rows whose texts, columns and reasons try to be more than text; copies, and one without a score."""
    made = pool([([user(HOSTILE, 1), assistant(HOSTILE)], [png(i // 2)]) for i in range(rows)])
    scores = [None, *map(float, range(1, rows))]
    made = made.add_column("necessity", scores, feature=Value("float32"))
    made = made.add_column("necessity_status", ["image_error", *["ok"] * (rows - 1)])
    made = made.add_column("necessity_reason", [HOSTILE] + [None] * (rows - 1), feature=Value("string"))
    return made.add_column(HOSTILE, [HOSTILE, "plain", None] * (rows // 3))


def verdict_on(selection: Selection, **changes: Any) -> Verdict:
    """A verdict on a selection: worse than random, unless changed."""
    known: dict[str, Any] = {
        "evaluation": "exact match",
        "method": "mine",
        "rows": len(selection),
        "seeds": 3,
        "verdict": "worse",
        "difference": -0.25,
        "low": -0.5,
        "high": -0.125,
        "sentence": "mine: worse than random.",
        "subsets": [subset_fingerprint(selection)],
    }
    return Verdict(**known | changes)


def write_comparison(run: Path, verdicts: list[Verdict]) -> None:
    """The comparison in a run's folder, with its plot."""
    (run / "compare").mkdir(parents=True)
    rows = [{"evaluation": HOSTILE, "method": HOSTILE, "mean": 0.5}]
    written = {"card": rows, "verdicts": [asdict(each) for each in verdicts]}
    (run / "compare" / "comparison.json").write_text(json.dumps(written))
    (run / "compare" / "comparison.png").write_bytes(png(3))


def hostile_report(folder: Path) -> Path:
    """The report of a hostile selection with a run, which has a comparison, and its pool."""
    rows = hostile_pool()
    rows.save_to_disk(str(folder / "run" / "score" / "scored"))
    method = Method(rule=TopScore(), filters=(NearDuplicates(),), kinds=HOSTILE)
    selection = select_diverse(rows, 4, method=method)
    selection.save_to_disk(folder / "selection")
    (folder / "run" / "run.yaml").write_text("select: {budget: 4}\n")
    (folder / "run" / "score.json").write_text(json.dumps({"settings": {}, "seconds": 3.5}))
    write_comparison(folder / "run", [verdict_on(selection, evaluation=HOSTILE, sentence=HOSTILE)])
    flags = ["--selection", str(folder / "selection"), "--output_dir", str(folder / "out")]
    assert main(["report", *flags, "--run_dir", str(folder / "run")]) == 0
    return folder / "out"
