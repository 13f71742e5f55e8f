"""Images inside archives, also inside those that lie."""

import io
import os
import struct
import tarfile
import zipfile

import pytest
from pools import png

from hf_vitselect.data import archives
from hf_vitselect.data.image_access import ImageAccess
from hf_vitselect.errors import RowError


def zipped(path, files, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def tarred(path, files, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


FILES = {"a.png": png(), "deep/b.png": png(1), "./c.png": png(2)}


@pytest.fixture(params=["images.zip", "deflated.zip", "images.tar", "no_suffix"])
def archive(request, tmp_path):
    path = tmp_path / request.param
    if request.param == "images.tar":
        tarred(path, FILES)
    else:
        kind = zipfile.ZIP_DEFLATED if "deflated" in request.param else zipfile.ZIP_STORED
        zipped(path, FILES | {"c.png": png(2)}, compression=kind)
    return path


def read(path, member):
    return ImageAccess((str(path.parent),)).find(f"{path.name}::{member}").read()


def test_members_are_read(archive):
    assert read(archive, "deep/b.png") == png(1)
    assert read(archive, "./a.png") == read(archive, "a.png") == png()
    assert read(archive, "c.png") == png(2)


@pytest.mark.parametrize("member", ["gone.png", "deep", "deep/", "../a.png", "/a.png", "deep/../a.png", ""])
def test_other_members_are_missing(archive, member):
    with pytest.raises(RowError, match="image_missing: no"):
        read(archive, member)


def test_archives_obey_the_root(archive, tmp_path):
    (tmp_path / "root").mkdir()
    for name in (f"../{archive.name}::a.png", f"{archive}::a.png"):
        with pytest.raises(RowError, match=r"image_missing: .* leads out of the image root"):
            ImageAccess((str(tmp_path / "root"),)).find(name)
        assert ImageAccess((str(tmp_path / "root"),), allow_paths=(str(tmp_path),)).find(name).read() == png()


def test_changed_archive_is_read_again(tmp_path):
    path = tmp_path / "images.zip"
    zipped(path, {"a.png": png()})
    file = ImageAccess((str(tmp_path),)).find("images.zip::a.png")
    before, state = file.read(), file.state()
    zipped(path, {"a.png": png(1)})
    os.utime(path, (1, 1))
    assert (before, file.read()) == (png(), png(1))
    assert file.state() != state


def test_forked_process_opens_its_own(tmp_path):
    path = tmp_path / "images.zip"
    zipped(path, FILES)
    assert read(path, "a.png") == png()
    first = archives._open(str(path), *read_state(path), os.getpid())
    assert archives._open(str(path), *read_state(path), os.getpid()) is first
    assert archives._open(str(path), *read_state(path), -1) is not first


def read_state(path):
    state = os.stat(path)
    return state.st_size, state.st_mtime_ns


def bomb(path):
    zipped(path, {"a.png": bytes(archives.MOST_BYTES + 1)}, compression=zipfile.ZIP_DEFLATED)


def small_lie(path):
    """Many zeros behind the size of a few."""
    zipped(path, {"a.png": bytes(10**7)}, compression=zipfile.ZIP_DEFLATED)
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 10**7), struct.pack("<I", 100)))


def large_lie(path):
    zipped(path, {"a.png": png()})
    size = struct.pack("<I", len(png()))
    data = path.read_bytes()
    place = data.rindex(b"PK\x01\x02") + 24
    assert data[place : place + 4] == size
    path.write_bytes(data[:place] + struct.pack("<I", len(png()) + 50) + data[place + 4 :])


def zip_link(path):
    link = zipfile.ZipInfo("a.png")
    link.external_attr = 0o120777 << 16
    zipped(path, {link: b"/etc/passwd"})


def special(kind):
    def make(path):
        with tarfile.open(path, "w") as archive:
            info = tarfile.TarInfo("a.png")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)

    return make


def huge_tar(path):
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("a.png")
        info.size = 2**40
        path.write_bytes(info.tobuf())
        del archive


def cut(make, keep):
    def make_and_cut(path):
        make(path, FILES)
        path.write_bytes(path.read_bytes()[:keep])

    return make_and_cut


def flipped(path):
    zipped(path, {"a.png": png()})
    data = bytearray(path.read_bytes())
    data[60] ^= 255
    path.write_bytes(data)


def encrypted(path):
    zipped(path, {"a.png": png()})
    data = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + place] |= 1
    path.write_bytes(data)


LIES = {
    "a bomb": bomb,
    "a bomb that says it is small": small_lie,
    "a size that is too large": large_lie,
    "a link in a zip": zip_link,
    "a link in a tar": special(tarfile.SYMTYPE),
    "a hard link": special(tarfile.LNKTYPE),
    "a pipe": special(tarfile.FIFOTYPE),
    "a huge file in a tar": huge_tar,
    "a truncated zip": cut(zipped, 200),
    "a truncated tar": cut(tarred, 600),
    "a compressed tar": lambda path: tarred(path, FILES, "w:gz"),
    "bzip2 in a zip": lambda path: zipped(path, FILES, compression=zipfile.ZIP_BZIP2),
    "changed bytes": flipped,
    "an encrypted zip": encrypted,
    "no archive": lambda path: path.write_bytes(b"GIF89a"),
    "an empty file": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("make", LIES.values(), ids=LIES)
def test_lying_archives_give_a_status(make, tmp_path):
    path = tmp_path / "images"
    make(path)
    with pytest.raises(RowError, match=r"image_(error|missing): ") as caught:
        read(path, "a.png")
    assert "a.png" in str(caught.value) or "unpack or repack" in str(caught.value)


def test_bomb_is_not_unpacked(tmp_path):
    import tracemalloc

    small_lie(tmp_path / "images")
    tracemalloc.start()
    with pytest.raises(RowError, match="image_error"):
        read(tmp_path / "images", "a.png")
    assert tracemalloc.get_traced_memory()[1] < 2 * 10**6
    tracemalloc.stop()
