"""Which files a row may name."""

import os

import pytest
from pools import png

from hf_vitselect.data.image_access import ImageAccess
from hf_vitselect.data.images import RowImage
from hf_vitselect.errors import RowError


@pytest.fixture
def folder(tmp_path):
    """A root with an image and links, and an image beside it."""
    (tmp_path / "root" / "deep").mkdir(parents=True)
    for file in ("root/a.png", "root/deep/a.png", "secret.png", "rooted.png", "root/a::b.png"):
        (tmp_path / file).write_bytes(png())
    (tmp_path / "root" / "out.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "root" / "in.png").symlink_to(tmp_path / "root" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "root")
    return tmp_path


@pytest.mark.parametrize("root", ["root", "link"])
@pytest.mark.parametrize("path", ["a.png", "deep/a.png", "deep/../a.png", "in.png", "./a.png", "a::b.png"])
def test_file_under_root_is_found(folder, root, path):
    for given in (path, str(folder / root / path)):
        found = ImageAccess((str(folder / root),)).find(given)
        assert os.path.samefile(found.path, folder / "root" / path)
        access = ImageAccess(("/nowhere", str(folder / root)))
        assert RowImage(path=given, access=access).encoded() == png()


@pytest.mark.parametrize(
    "path", ["../secret.png", "out.png", "/secret.png", "../rooted.png", "deep/../../secret.png"]
)
def test_nothing_else_can_be_named(folder, path):
    for hub, error in ((True, "cannot name files of this machine"), (False, "leads out of the image root")):
        access = ImageAccess((str(folder / "root"),), from_hub=hub)
        for given in (path, str(folder / "secret.png"), str(folder / "link" / "out.png")):
            with pytest.raises(RowError, match=f"image_missing: .*{error}"):
                access.find(given)
            assert RowImage(path=given, access=access).digest() is None


def test_root_that_leads_elsewhere(folder):
    access = ImageAccess((str(folder / "link"),))
    assert access.find("a.png").path == str(folder / "root" / "a.png")
    (folder / "link").unlink()
    (folder / "link").symlink_to(folder / "root" / "deep")
    assert access.find("a.png").path == str(folder / "root" / "deep" / "a.png")
    with pytest.raises(RowError, match="leads out of the image root"):
        access.find("../a.png")


def test_allowed_folder_can_be_named(folder):
    access = ImageAccess((str(folder / "root"),), allow_paths=(str(folder),))
    for path in ("../secret.png", "out.png", str(folder / "secret.png")):
        assert access.find(path).read() == png()
    with pytest.raises(RowError, match="image_missing"):
        access.find("secret.png")  # Relative paths start at the root alone.


@pytest.mark.parametrize("path", ["/no/such.png", "/", "zip://a.png::/b.zip", "a\0.png", "x" * 5000, ""])
def test_what_is_no_file_is_missing(path):
    for access in (ImageAccess(("/",)), ImageAccess(image_features=True)):
        with pytest.raises(RowError, match="image_missing: no file at"):
            access.find(path, in_feature=True)


@pytest.mark.parametrize(
    "path",
    ["https://x.org/a.png?key=secret", "HTTP://x.org/a.png", "hf://datasets/me/x/a.png", "gs://b/a.png"],
)
def test_urls_are_not_fetched_unasked(path):
    for access in (ImageAccess(), ImageAccess(("/",))):
        with pytest.raises(RowError, match=r"image_remote: a URL, and fetch_urls is not set") as caught:
            access.find(path)
        assert "secret" not in str(caught.value)


def test_without_access_nothing_is_found(folder):
    with pytest.raises(RowError, match=r"image_missing: no image root is known .* with_image_root"):
        ImageAccess().find(str(folder / "secret.png"))
    with pytest.raises(RowError, match="no image root"):
        ImageAccess(image_features=True).find(str(folder / "secret.png"), in_feature=False)
