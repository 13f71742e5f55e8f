"""The explorer's site, as files and as Chromium shows it."""

import json
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from browser import opened
from datasets import Dataset

from hf_vitselect.cli.main import main
from hf_vitselect.explorer import site as site_module
from hf_vitselect.rules import TopScore
from hf_vitselect.selection.select_diverse import select_diverse


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
    handler = partial(site_module._Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        with opened("about:blank") as page:
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
        server.shutdown()


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
