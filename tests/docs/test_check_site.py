"""The check of the built site finds what is broken."""

import check_site
import public_names
import pytest


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A site of two pages whose reference needs one name."""
    monkeypatch.setattr(
        check_site, "door", lambda: [public_names.Name("score", "hf_vitselect.scoring.score")]
    )
    monkeypatch.setattr(check_site, "names_of", lambda room: [])
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "index.html").write_text('<h1 id="hf_vitselect.scoring.score.score">score</h1>')
    return tmp_path


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="sub/#hf_vitselect.scoring.score.score">right</a>', ""),
        ('<a id="here" href="#here">right</a><a href="https://example.org/x">not fetched</a>', ""),
        ('<a href="sub/#nowhere">wrong</a>', "index.html: no anchor for sub/#nowhere"),
        ('<a href="other/">wrong</a>', "index.html: no file for other/"),
        ('<img src="plot.png">', "index.html: no file for plot.png"),
        ('<script src="https://example.org/x.js"></script>', "index.html: loads https://example.org/x.js"),
    ],
)
def test_check_finds_broken_links(site, body, fault):
    (site / "index.html").write_text(body)
    assert check_site.faults(site) == ([fault] if fault else [])


def test_check_finds_missing_names(site):
    (site / "sub" / "index.html").write_text("<h1>nothing</h1>")
    assert check_site.faults(site) == ["the reference lacks hf_vitselect.scoring.score.score"]
