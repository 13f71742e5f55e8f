"""A real Chromium for the tests of pages; without one, or without playwright, they are skipped."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
DESKTOP, PHONE = (1280, 800), (390, 844)


@contextmanager
def opened(address: str | Path, size: tuple[int, int] = DESKTOP, scheme: str = "light") -> Iterator[Any]:
    """A page in a browser window; `page.complaints` has what the browser wrote to its console."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium: install the Debian package chromium, or name a browser in CHROMIUM")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        width, height = size
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto(address.as_uri() if isinstance(address, Path) else address)
        yield page
        browser.close()
