"""`hf-vitselect report`, and its page as Chromium shows it."""

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Value
from PIL import Image
from pools import assistant, png, pool, user

from hf_vitselect.cli.main import main
from hf_vitselect.report.html_page import html_page
from hf_vitselect.rules import TopScore
from hf_vitselect.selection.select_diverse import select_diverse

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
HOSTILE = (
    "<script>document.title='owned'</script><img src=http://127.0.0.1:9/x onerror=document.title='owned'>"
    "</td></table><h1>Mine</h1> ![x](http://127.0.0.1:9/y.png) [a](javascript:alert(1)) {{ 7 * 7 }} ``` | b"
)
FACTS = """<script>addEventListener("load", () => {
  const all = [...document.querySelectorAll("body *")].map(e => e.localName);
  document.documentElement.dataset.facts = JSON.stringify({
    tags: [...new Set(all)].sort(),
    pictures: [...document.images].map(i => i.naturalWidth),
    links: [...document.links].map(a => a.protocol),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    title: document.title,
  });
})</script>"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a selection whose rows and column names try to be more than text."""
    folder = tmp_path_factory.mktemp("report")
    rows = pool([([user(HOSTILE, 1), assistant(HOSTILE)], [png(i)]) for i in range(12)])
    rows = rows.add_column("necessity", [float(i) for i in range(12)], feature=Value("float32"))
    rows = rows.add_column(HOSTILE, [HOSTILE, "plain", None] * 4)
    select_diverse(rows, 5, rule=TopScore()).save_to_disk(folder / "selection")
    (folder / "run").mkdir()
    (folder / "run" / "run.yaml").write_text("select: {budget: 5}\n")
    (folder / "run" / "score.json").write_text(json.dumps({"settings": {}, "seconds": 3.5}))
    flags = ["--selection", str(folder / "selection"), "--output_dir", str(folder / "out")]
    assert main(["report", *flags, "--run_dir", str(folder / "run")]) == 0
    return folder / "out"


def test_everything_is_in_the_folder(report: Path) -> None:
    there = {str(path.relative_to(report)) for path in report.rglob("*") if path.is_file()}
    assert there == {
        *("README.md", "index.html", "recipe.json", "picks.json", "run.yaml"),
        *("plots/scores.png", "plots/composition.png", "plots/lengths.png"),
        *("examples/top.jpg", "examples/median.jpg", "examples/lowest.jpg"),
    }


def test_page_needs_no_other_file(report: Path) -> None:
    page = (report / "index.html").read_text()
    assert html_page((report / "README.md").read_text(), {}).count("<h2>") == page.count("<h2>") > 6
    assert page.count('src="data:image/') == page.count("<img") == 6
    assert "| score" in (report / "README.md").read_text()
    assert "default-src 'none'" in page


def test_report_needs_a_selection(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--selection", str(tmp_path)]) == 2
    assert "Selection.save_to_disk" in capsys.readouterr().err


def chromium(tmp_path: Path, page: Path, *flags: str) -> str:
    if CHROMIUM is None:
        pytest.skip("no Chromium: install the Debian package chromium, or name a browser in CHROMIUM")
    fixed = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={tmp_path}",
    ]
    command = [CHROMIUM, *fixed, f"--user-data-dir={tmp_path}", *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.fixture(scope="module")
def facts(report: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a script of the test's own finds in the page, at the width of a telephone."""
    folder = tmp_path_factory.mktemp("facts")
    page = (report / "index.html").read_text()
    page = re.sub("<meta http-equiv=.*?>", FACTS, page, count=1, flags=re.DOTALL)
    (folder / "page.html").write_text(page)
    dom = chromium(folder / "profile", folder / "page.html", "--dump-dom", "--window-size=500,900")
    found = re.search('data-facts="(.*?)"', dom)
    assert found is not None
    return json.loads(html.unescape(found[1]))


def test_images_load_and_fit(facts: dict[str, Any]) -> None:
    assert len(facts["pictures"]) == 6
    assert min(facts["pictures"]) >= 16
    assert facts["overflow"] <= 0


def test_browser_shows_hostile_text_literally(facts: dict[str, Any], report: Path, tmp_path: Path) -> None:
    assert facts["title"] == "A selection"
    assert set(facts["tags"]) <= {
        *("h1", "h2", "p", "ul", "li", "blockquote", "pre", "code", "img", "a", "strong"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    assert set(facts["links"]) <= {"https:"}
    dom = chromium(tmp_path, report / "index.html", "--dump-dom")
    assert "<title>A selection</title>" in dom
    assert html.escape("<script>document.title='owned'</script>", quote=False) in dom


@pytest.mark.parametrize("light", [True, False], ids=["light", "dark"])
def test_page_follows_the_color_scheme(light: bool, report: Path, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    scheme = f"--blink-settings=preferredColorScheme={int(light)}"
    flags = [f"--screenshot={picture}", "--window-size=900,3000", scheme]
    chromium(tmp_path / "profile", report / "index.html", *flags)
    pixels = np.asarray(Image.open(picture).convert("L"))
    assert (np.median(pixels) > 200) == light
    ink = pixels < 60 if light else pixels > 200
    assert 0.01 < ink.mean() < 0.5
