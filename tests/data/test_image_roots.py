"""Which files of this machine a row may name."""

import os

import pytest
from pools import png

from hf_vitselect.data.image_roots import find_file
from hf_vitselect.data.images import RowImage
from hf_vitselect.errors import RowError

FOREIGN = "image_missing: rows of a pool from the Hub cannot name files of this machine"


@pytest.fixture
def folder(tmp_path):
    """A root with an image and a link, and an image beside it."""
    (tmp_path / "root" / "deep").mkdir(parents=True)
    for file in ("root/a.png", "root/deep/a.png", "secret.png", "rooted.png"):
        (tmp_path / file).write_bytes(png())
    (tmp_path / "root" / "out.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "root" / "in.png").symlink_to(tmp_path / "root" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "root")
    return tmp_path


@pytest.mark.parametrize("root", ["root", "link"])
@pytest.mark.parametrize("path", ["a.png", "deep/a.png", "deep/../a.png", "in.png", "./a.png"])
def test_file_under_root_is_found(folder, root, path):
    for given in (path, str(folder / root / path)):
        found = find_file(given, [str(folder / root)])
        assert os.path.samefile(found, folder / "root" / path)
        assert RowImage(path=given, roots=["/nowhere", str(folder / root)]).encoded() == png()


@pytest.mark.parametrize(
    "path", ["../secret.png", "out.png", "/secret.png", "../rooted.png", "\0", "deep/../../secret.png"]
)
def test_nothing_else_can_be_named(folder, path):
    for given in (path, str(folder / "secret.png"), str(folder / "link" / "out.png")):
        with pytest.raises(RowError, match=FOREIGN):
            find_file(given, [str(folder / "root")])
        assert RowImage(path=given, roots=[str(folder / "root")]).digest() is None


@pytest.mark.parametrize("roots", [None, ["/"]], ids=str)
@pytest.mark.parametrize("path", ["/no/such.png", "/", "zip://a.png::/b.zip"])
def test_what_is_no_file_is_missing(path, roots):
    with pytest.raises(RowError, match="image_missing: no file at"):
        find_file(path, roots)


@pytest.mark.parametrize("roots", [None, ["/"]], ids=str)
@pytest.mark.parametrize(
    "path", ["https://x.org/a.png", "HTTP://x.org/a.png", "hf://datasets/me/x/a.png", "s3://b/a.png"]
)
def test_urls_are_not_fetched(path, roots):
    with pytest.raises(RowError, match="image_remote: a URL"):
        find_file(path, roots)
