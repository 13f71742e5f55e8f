"""Charts show their tables' numbers, and refuse tables that they cannot draw."""

import re

import bars
import pytest

TABLE = """\
| model | rows an image | rows/s |
| --- | --- | --- |
| `LLaVA` | 1 | 20 |
| `LLaVA` | 4 | 1,040.5 rows |
| Qwen <b> | 1 | not measured |
<!-- end -->

"""


def test_chart_shows_numbers_of_the_table():
    drawn = bars.draw(TABLE + "<!-- bars: model, rows an image | rows/s -->\n").removeprefix(TABLE)
    shown = re.sub(r"<[^>]+>", " ", drawn).split()
    assert " ".join(shown) == "rows/s LLaVA, rows an image: 1 20 LLaVA, rows an image: 4 1,040.5"
    assert re.findall(r"\* ([\d.]+)\)", drawn) == ["0.019", "1.000"]


def test_labels_and_captions_are_escaped():
    table = "| a | b |\n| --- | --- |\n| <i> | 0 |\n"
    drawn = bars.draw(f"{table}\n<!-- bars: a | b | x < y -->")
    assert "<span>&lt;i&gt;</span>" in drawn
    assert "<figcaption>x &lt; y</figcaption>" in drawn


def test_other_comments_stay_as_they_are():
    assert bars.draw(TABLE) == TABLE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no table\n\n<!-- bars: model | rows/s -->", "expected a table"),
        (TABLE + "<!-- bars: model | speed -->", "expected the column 'speed'"),
        (TABLE + "<!-- bars: rows/s | model -->", "expected a number in the column 'model'"),
    ],
)
def test_undrawable_charts_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        bars.draw(text)
