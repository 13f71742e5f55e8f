"""What notebooks and `print` show: escaped, small, complete."""

import html
import re

import numpy as np
import pytest
from random_pool import random_pool
from recipes import with_recipe

from hf_vitselect import select_diverse
from hf_vitselect.data.text import one_line
from hf_vitselect.evaluation.comparison import Comparison
from hf_vitselect.evaluation.statistics import difference
from hf_vitselect.evaluation.verdicts import Line
from hf_vitselect.filters import LossTail
from hf_vitselect.notebook import html_summary
from hf_vitselect.rules import TopScore
from hf_vitselect.selection import Method

EVIL = "<script>alert('x')</script> & \"q\""


def text(page):
    """What a page shows, a space for each tag."""
    shown = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", shown)).split())


def tags(page):
    return set(re.findall(r"<(\w+)", page))


@pytest.fixture(scope="module")
def selection():
    return select_diverse(random_pool(), 4, method=Method(rule=TopScore(), filters=[LossTail(cut=0.8)]))


def test_summary_escapes_every_part():
    rows = [{EVIL: EVIL, "number": 1234}, {"number": None}]
    page = html_summary(EVIL, {EVIL: EVIL}, notes=[EVIL], tables={EVIL: rows, "empty": []})
    assert tags(page) == {"div", "style", "p", "strong", "table", "tr", "th", "td"}
    assert text(page) == f"{EVIL} {EVIL} {EVIL} {EVIL} {EVIL} {EVIL} number {EVIL} 1,234"


def test_summary_aligns_numbers_right():
    page = html_summary("a", {}, tables={"b": [{"text": "1", "number": 1}]})
    assert re.findall(r'<td class="number">(.*?)</td>', page) == ["1"]


def test_one_line_is_short():
    assert one_line("a\n\x1b[31m b") == "a [31m b"
    assert len(one_line("x" * 500)) == 120


def test_printed_selection_has_five_lines(selection):
    lines = str(selection).splitlines()
    assert lines == repr(selection).splitlines()
    rows, dropped = selection.recipe.rows, selection.recipe.filters[0].dropped
    assert lines[0] == f"Selection: 4 of {rows} rows ({4 / rows:.1%})"
    assert [line.split()[0] for line in lines[1:]] == ["method", "pool", "left", "kinds"]
    assert f"LossTail {dropped}" in lines[3]
    assert dropped > 0


def test_summary_names_skipped_and_restored(selection):
    filters = [
        {"filter": "LossTail()", "dropped": 3, "restored": 2},
        {"filter": "UnusedImage()", "skipped": "no column"},
    ]
    recipe = with_recipe(selection, filters=filters, dropped={"image_error": 1200}).recipe
    assert recipe.facts["left out"] == "LossTail 3 (2 restored), UnusedImage skipped, image_error 1,200"


def test_notebook_shows_first_picks(selection):
    page = selection._repr_html_()
    assert str(selection).splitlines()[0] in text(page)
    first = selection.dataset[0]["messages"][0]["content"]
    shown = first if isinstance(first, str) else first[-1]["text"]
    assert one_line(shown) in text(page)
    assert len(page) < 20_000


def test_notebook_shows_hostile_rows_literally():
    pool = random_pool()
    names = pool.column_names
    turns = [{"role": "user", "content": EVIL}, {"role": "assistant", "content": EVIL}]
    pool = pool.remove_columns("messages").add_column("messages", [turns] * len(pool)).select_columns(names)
    page = select_diverse(pool, 2, rule=TopScore())._repr_html_()
    assert "script" not in tags(page)
    assert EVIL in text(page)


def test_notebook_shows_kinds_of_recipe(selection):
    share = {"name": EVIL, "rows": 40, "left": 20, "picked": 4, "score": None, "weight": 1.0}
    page = with_recipe(selection, shares=[share]).recipe._repr_html_()
    assert page.count("<table") == 2
    assert f"{EVIL} 40 20 4" in text(page)


def test_notebook_shows_verdicts():
    rng = np.random.default_rng(0)
    ours, random = rng.normal(0.6, 0.02, (3, 50)), rng.normal(0.5, 0.02, (3, 50))
    better = difference(ours, random, comparisons=1)
    line = Line(EVIL, 60, [0.6] * 3, better, None, None, None, None, 1e5, 12.0)
    costs = [{"method": EVIL, "rows": 60, "picking": None, "fine-tune": 12.25}]
    comparison = Comparison({"exact match": [line]}, ["exact match"], {}, {}, costs=costs)
    page = comparison._repr_html_()
    assert f"{EVIL} 60 12.2" in " ".join(text(page).split())
    assert f"exact match: {line.verdict}" in text(page)
    assert "better than random" in line.verdict
    assert "script" not in tags(page)
