"""The explorer's site, as files and as Chromium shows it."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from browser import opened
from datasets import Dataset

from hf_vitselect.cli.main import main
from hf_vitselect.explorer import site as site_module
from hf_vitselect.rules import TopScore
from hf_vitselect.selection.select_diverse import select_diverse

# A GPU that takes every call and draws nothing. Chromium has none that suffices on most servers, and without
# one the map has no tooltips.
GPU = """
const never = new Promise(() => {});
const known = { then: undefined, lost: never, mapAsync: () => never, [Symbol.toPrimitive]: () => 0 };
const gpu = new Proxy(function () {}, {
  get: (_, name) => (name in known ? known[name] : gpu), apply: () => gpu, construct: () => gpu,
});
Object.defineProperty(navigator, "gpu", { value: gpu });
const getContext = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind === "webgpu" ? gpu : getContext.call(this, kind, ...rest);
};
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, scored_pool: Dataset) -> Path:
    """The site of a selection next to its pool, as the command writes it."""
    pytest.importorskip("embedding_atlas", reason="the extra explore is not installed")
    folder = tmp_path_factory.mktemp("explorer")
    scored_pool.save_to_disk(str(folder / "score" / "scored"))
    select_diverse(scored_pool, 8, rule=TopScore()).save_to_disk(folder / "selection")
    flags = [str(folder / "selection"), "--export", str(folder / "site"), "--projection", "pca"]
    assert main(["explore", *flags]) == 0
    return folder / "site"


@contextmanager
def served(site: Path) -> Iterator[str]:
    """The address of a site while it is served."""
    handler = partial(site_module._Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def test_missing_extra_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(site_module, "find_spec", lambda name: None)
    assert main(["explore", str(tmp_path), "--export", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == (
        "hf-vitselect explore: expected the package embedding-atlas, which is not installed; "
        'pip install "hf_vitselect[explore]"\n'
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_site_names_no_folder(site: Path) -> None:
    written = (site / "data" / "metadata.json").read_text()
    assert str(site.parent) not in written
    assert str(site.parent).encode() not in (site / "data" / "dataset.parquet").read_bytes()
    charts = json.loads(written)["props"]["initialState"]["charts"].values()
    assert json.loads(written)["props"]["data"]["neighbors"] == "neighbors"
    titles = [chart["title"] for chart in charts]
    assert titles[:3] == ["Map", "Rows", "Map in bins"]
    assert {"outcome", "necessity", "kind"} <= {*titles}


@pytest.mark.slow
def test_export_replaces_only_an_explorer(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [str(site.parent / "selection"), "--projection", "pca"]
    assert main(["explore", *flags, "--export", str(site.parent / "selection")]) == 2
    assert "holds no explorer; give another folder" in capsys.readouterr().err
    assert (site.parent / "selection" / "recipe.json").exists()
    assert main(["explore", *flags, "--export", str(site), "--rows", "9"]) == 0
    assert json.loads((site / "explorer.json").read_text())["rows"] == 9
    assert main(["explore", *flags, "--export", str(site)]) == 0


@pytest.mark.slow
def test_browser_shows_and_filters_rows(site: Path) -> None:
    with served(site) as address, opened("about:blank") as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}/index.html")
        page.get_by_text("40 / 40 points").wait_for(timeout=120_000)
        page.get_by_text("what colour is it? 0").first.wait_for(timeout=60_000)
        for title in ("outcome", "kind", "necessity", "Map in bins"):
            assert page.get_by_text(title, exact=True).first.is_visible()
        assert page.locator("img").count() > 3
        page.locator(":text-is('not picked'):not(td *)").last.wait_for(timeout=60_000)
        page.wait_for_timeout(3_000)  # until the charts after the map's legend are drawn
        page.locator(":text-is('picked'):not(td *)").last.click()
        page.get_by_text("8 / 40 points").wait_for(timeout=60_000)
        assert [url for url in asked if not url.startswith((address, "blob:", "data:"))] == []


@pytest.mark.slow
def test_search_lists_rows_and_neighbors(site: Path) -> None:
    rows = pq.read_table(site / "data" / "dataset.parquet", columns=["conversation", "neighbors"])
    found = [row for row in rows.to_pylist() if "circle" in row["conversation"]]
    with served(site) as address, opened("about:blank") as page:
        page.add_init_script(GPU)
        page.goto(f"{address}/index.html")
        page.get_by_text("40 / 40 points").wait_for(timeout=120_000)
        page.get_by_label("Search").click()
        page.locator("input[type=search]").fill("circle")
        page.locator("input[type=search]").press("Enter")
        page.get_by_text(f"{len(found)} results.").wait_for(timeout=60_000)
        cards = page.locator("button:has-text('USER:')")
        assert cards.count() == len(found)
        assert all("circle" in text for text in cards.all_inner_texts())
        cards.filter(has_text=found[1]["conversation"]).click()
        page.get_by_text("Nearest Neighbors").click(timeout=60_000)
        page.get_by_text("Neighbors of #").wait_for(timeout=60_000)
        page.get_by_text("10 results.").wait_for(timeout=60_000)
        for text, near in zip(cards.all_inner_texts(), found[1]["neighbors"]["ids"], strict=True):
            assert rows["conversation"][near].as_py() in text


@pytest.mark.slow
def test_command_serves_until_interrupted(site: Path) -> None:
    code = "import sys; from hf_vitselect.cli.main import main; sys.exit(main(sys.argv[1:]))"
    flags = ["explore", str(site.parent / "selection"), "--projection", "pca"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *flags],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "BROWSER": "true"},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    with opened(f"{line.split()[2]}/index.html") as page:
        page.get_by_text("40 / 40 points").wait_for(timeout=120_000)
    process.send_signal(2)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "rows     40" in rest
