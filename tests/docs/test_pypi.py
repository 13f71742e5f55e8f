"""What PyPI shows leads to the repository."""

import configparser
import re
from pathlib import Path

import pypi

ROOT = Path(__file__).parents[2]
PLACE = ("https://example.org/me/it", "v1.0")


def test_links_get_the_address():
    text = "![plot](docs/a.png) and [page](docs/b.md#part), [paper](https://arxiv.org/abs/1) or [here](#top)"
    assert pypi.with_address(text, *PLACE) == (
        "![plot](https://example.org/me/it/raw/v1.0/docs/a.png) and "
        "[page](https://example.org/me/it/blob/v1.0/docs/b.md#part), "
        "[paper](https://arxiv.org/abs/1) or [here](#top)"
    )


def test_readme_has_no_relative_link():
    text = pypi.with_address((ROOT / "README.md").read_text(), *PLACE)
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert len(targets) > 20
    assert {target.partition("://")[0] for target in targets} == {"https"}


def test_setup_names_the_repository():
    setup = configparser.ConfigParser()
    setup.read_string(pypi.with_urls((ROOT / "setup.cfg").read_text(), *PLACE))
    assert "Source = https://example.org/me/it\n" in setup["metadata"]["project_urls"]
