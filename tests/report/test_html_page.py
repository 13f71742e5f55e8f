"""`hf-vitselect report`: the page's content, its escaping, its policy and its size."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, Value
from hostile_report import HOSTILE, hostile_report, verdict_on, write_comparison
from PIL import Image
from pools import assistant, encode, mixed_pool, pool, user

from hf_vitselect.cli.main import main
from hf_vitselect.errors import LayoutError
from hf_vitselect.report import html_page
from hf_vitselect.report.html_page import MOST_BYTES, write_report
from hf_vitselect.rules import TopScore
from hf_vitselect.selection.method import Method
from hf_vitselect.selection.select_diverse import select_diverse
from hf_vitselect.selection.selection import Selection


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_report(tmp_path_factory.mktemp("report"))


class Parsed(HTMLParser):
    """The tags, attributes and texts of a page as a browser reads them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def page_of(folder: Path) -> Parsed:
    return Parsed((folder / "index.html").read_text())


def test_everything_is_in_the_folder(report: Path) -> None:
    there = {str(path.relative_to(report)) for path in report.rglob("*") if path.is_file()}
    assert there == {
        *("README.md", "index.html", "recipe.json", "picks.json", "run.yaml"),
        *("plots/scores.png", "plots/composition.png", "plots/lengths.png"),
        *("examples/top.jpg", "examples/median.jpg", "examples/lowest.jpg"),
    }


def test_page_needs_no_other_file(report: Path) -> None:
    tags = page_of(report).tags
    images = [attributes for tag, attributes in tags if tag == "img"]
    assert all(image["src"].startswith("data:image/") for image in images)
    assert len(images) > 12
    assert not {tag for tag, _ in tags} & {"script", "link", "iframe", "object", "form", "base"}


def test_policy_allows_only_the_own_style(report: Path) -> None:
    page = (report / "index.html").read_text()
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    policy = next(
        attributes["content"] for tag, attributes in Parsed(page).tags if "http-equiv" in attributes
    )
    assert len(style) == 1
    assert policy.split("; ")[:3] == ["default-src 'none'", "img-src data:", f"style-src 'sha256-{digest}'"]
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_hostile_texts_are_only_texts(report: Path) -> None:
    parsed = page_of(report)
    names = {name for _, attributes in parsed.tags for name in attributes}
    assert not {name for name in names if name.startswith("on")} | names & {"style", "srcset", "action"}
    links = [attributes["href"] for tag, attributes in parsed.tags if tag == "a"]
    assert {link.partition(":")[0] for link in links if link[0] != "#"} <= {"https"}
    assert sum(tag == "h1" for tag, _ in parsed.tags) == 2  # the page's and the card's
    assert " ".join(HOSTILE[:150].split()) in parsed.text
    assert parsed.text.count("{{ 7 * 7 }}") > 12


def test_verdict_counts_and_alarm_come_first(report: Path) -> None:
    text = page_of(report).text
    beginning = text[text.index("4 of 12 rows") : text.index("This page contains rows")]
    assert "Worse than random -0.250" in beginning
    assert "interval -0.500 to -0.125, 3 seeds" in beginning
    assert "Worst alarm Worse than random rows in" in beginning
    assert re.search(r"picked 4 33.3% .*NearDuplicates \d+ .*image_error 1 ", beginning)


def test_copies_stand_side_by_side(report: Path) -> None:
    pairs = (report / "index.html").read_text().split('<div class="pair">')[1:]
    assert len(pairs) > 3
    for pair in pairs:
        dropped, kept = pair.split("</article>")[:2]
        assert "dropped, row" in dropped
        assert "other copy, row" in kept
        assert re.findall('base64,([^"]+)', dropped) == re.findall('base64,([^"]+)', kept)


def test_other_subsets_verdict_is_not_shown(tmp_path: Path, scored_pool: Dataset) -> None:
    selection = select_diverse(scored_pool, 6, rule=TopScore())
    write_comparison(tmp_path / "run", [verdict_on(selection, subsets=["f" * 64], verdict="better")])
    write_report(selection, tmp_path / "out", run=tmp_path / "run")
    text = page_of(tmp_path / "out").text
    assert "Not measured The run's comparison measured other subsets, not this one" in text
    assert "Another subset." in text
    assert "Better than random" not in text


def test_page_without_pool_says_how(tmp_path: Path, scored_pool: Dataset) -> None:
    write_report(select_diverse(scored_pool, 6, rule=TopScore()), tmp_path)
    text = page_of(tmp_path).text
    assert "Not measured Whether these rows beat random ones is not known" in text
    assert "Name the pool to see them: hf-vitselect report --pool POOL" in text


@pytest.mark.parametrize("other", [mixed_pool(40, seed=99), mixed_pool(39)], ids=["rows", "length"])
def test_other_pool_is_refused(tmp_path: Path, scored_pool: Dataset, other: Dataset) -> None:
    selection = select_diverse(scored_pool, 6, rule=TopScore())
    with pytest.raises(LayoutError, match=r"expected the pool .*the selection was made from"):
        write_report(selection, tmp_path, pool=other)


@pytest.fixture(scope="module")
def large() -> tuple[Selection, Dataset]:
    """Noise, which does not compress, and long texts, which grow when they are escaped."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 300, 300, 3), dtype=np.uint8)
    images = [encode(Image.fromarray(pixels)) for pixels in noise]
    rows = [([user(f"{i} " + "ẞ<" * 4000, 1), assistant("&" * 9000)], [images[i % 40]]) for i in range(240)]
    made = pool(rows).add_column("necessity", [float(i) for i in range(240)], feature=Value("float32"))
    made = made.add_column("topic", [f"{'&' * 900}{i % 200}" for i in range(240)])
    return select_diverse(made, 120, method=Method(rule=TopScore(), kinds="topic")), made


@pytest.mark.parametrize(("most", "least_cards"), [(MOST_BYTES, 36), (1_300_000, 6)], ids=["usual", "tight"])
def test_page_of_large_rows_is_bounded(
    most: int, least_cards: int, large: tuple[Selection, Dataset], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(html_page, "MOST_BYTES", most)
    selection, rows = large
    page = write_report(selection, tmp_path, pool=rows)
    assert least_cards <= page.read_text().count("<article") <= 36
    assert page.stat().st_size <= most


def test_report_needs_a_selection(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--selection", str(tmp_path)]) == 2
    assert "Selection.save_to_disk" in capsys.readouterr().err
