"""The page of a report as Chromium shows it."""

import io
from pathlib import Path

import numpy as np
import pytest
from browser import DESKTOP, PHONE, opened
from hostile_report import hostile_report
from PIL import Image

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_report(tmp_path_factory.mktemp("report"))


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_first_screen_shows_the_essentials(report: Path, size: tuple[int, int]) -> None:
    with opened(report / "index.html", size) as page:
        for name in ("#verdict", "#alarm", "#counts"):
            box = page.locator(name).bounding_box()
            assert box["y"] + box["height"] <= size[1]
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= size[0]
        width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(width) == 0


def test_browser_runs_nothing_of_rows(report: Path) -> None:
    with opened(report / "index.html") as page:
        assert page.title() == "4 of 12 rows (33.3%)"
        assert page.locator("script, iframe, [onerror], [onclick], [style]").count() == 0
        page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        page.evaluate("document.images.length && [...document.images].forEach(i => i.loading = 'eager')")
        page.wait_for_function("[...document.images].every(image => image.naturalWidth > 0)")
        assert page.complaints == []


def test_policy_stops_what_is_added(report: Path, tmp_path: Path) -> None:
    added = "<script>document.title = 'owned'</script><p id=x style='color: red'></p><img src=http://127.0.0.1:9/>"
    text = (report / "index.html").read_text().replace("</body>", f"{added}</body>")
    (tmp_path / "page.html").write_text(text)
    with opened(tmp_path / "page.html") as page:
        assert page.title() == "4 of 12 rows (33.3%)"
        assert page.evaluate("getComputedStyle(document.querySelector('#x')).color") != "rgb(255, 0, 0)"
        assert len([text for text in page.complaints if "Content Security Policy" in text]) == 3


def test_keyboard_reaches_rows_and_texts(report: Path) -> None:
    with opened(report / "index.html") as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        assert page.locator(".skip").bounding_box()["x"] >= 0
        page.keyboard.press("Enter")
        page.wait_for_function("location.hash === '#picked'")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.localName") == "summary"
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        assert page.evaluate("document.activeElement.parentElement.open") is False
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.parentElement.open") is True


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_follows_the_color_scheme(report: Path, scheme: str) -> None:
    with opened(report / "index.html", scheme=scheme) as page:
        pixels = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L"))
    assert (np.median(pixels) > 200) == (scheme == "light")
    ink = pixels < 90 if scheme == "light" else pixels > 190
    assert 0.005 < ink.mean() < 0.5
