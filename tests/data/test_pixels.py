"""What every kind of image becomes, pixel by pixel, and which ones are refused before they are decoded."""

import io
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as PILImage
from PIL import ImageCms
from pools import encode, png, stripes

from hf_vitselect.data import pixels
from hf_vitselect.data.images import RowImage
from hf_vitselect.data.pixels import refuse_resize, to_rgb
from hf_vitselect.errors import RowError

RAMP = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
GRAY = (RAMP // 257).astype(np.uint8)
"""What `RAMP` becomes."""


def of(mode: str, *pixels: object, **info: object) -> PILImage.Image:
    """An image of one line of pixels."""
    made = PILImage.new(mode, (len(pixels), 1))
    for place, pixel in enumerate(pixels):
        made.putpixel((place, 0), pixel)
    made.info |= info
    return made


def palette(mode: str, *pixels: object, **info: object) -> PILImage.Image:
    """The same with a palette of red, green and blue."""
    made = of(mode, *pixels, **info)
    made.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    return made


RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255,) * 3, (0,) * 3
PINK = (255, 127, 127)
MODES = {
    "1": (of("1", 0, 1), [BLACK, WHITE]),
    "1, a transparent color": (of("1", 0, 255, transparency=0), [WHITE, WHITE]),
    "L": (of("L", 0, 7), [BLACK, (7, 7, 7)]),
    "L, a transparent color": (of("L", 0, 7, transparency=0), [WHITE, (7, 7, 7)]),
    "LA": (of("LA", (9, 255), (0, 0), (0, 128)), [(9,) * 3, WHITE, (127,) * 3]),
    "La": (of("La", (9, 255), (0, 0), (0, 128)), [(9,) * 3, WHITE, (127,) * 3]),
    "P": (palette("P", 0, 2), [RED, BLUE]),
    "P, a transparent color": (palette("P", 0, 2, transparency=2), [RED, WHITE]),
    "P, an alpha for each color": (palette("P", 0, 1, 2, transparency=b"\x80\xff\x00"), [PINK, GREEN, WHITE]),
    "PA": (palette("PA", (0, 255), (1, 0)), [RED, WHITE]),
    "RGB": (of("RGB", (1, 2, 3)), [(1, 2, 3)]),
    "RGB, a transparent color": (of("RGB", (1, 2, 3), RED, transparency=(1, 2, 3)), [WHITE, RED]),
    "RGBA": (of("RGBA", (1, 2, 3, 255), (0, 0, 0, 0), (255, 0, 0, 128)), [(1, 2, 3), WHITE, PINK]),
    "RGBa": (of("RGBa", (1, 2, 3, 255), (0, 0, 0, 0), (128, 0, 0, 128)), [(1, 2, 3), WHITE, PINK]),
    "RGBX": (of("RGBX", (1, 2, 3, 0)), [(1, 2, 3)]),
    "CMYK": (of("CMYK", (0, 255, 255, 0), (0, 0, 0, 255), (0, 0, 0, 0)), [RED, BLACK, WHITE]),
    "YCbCr": (of("YCbCr", (76, 85, 255), (255, 128, 128)), [(254, 0, 0), WHITE]),
    "HSV": (of("HSV", (0, 255, 255), (0, 0, 255)), [RED, WHITE]),
    "I;16": (of("I;16", 0, 257, 65535), [BLACK, (1, 1, 1), WHITE]),
    "I;16L": (of("I;16L", 0, 257, 65535), [BLACK, (1, 1, 1), WHITE]),
    "I;16B": (of("I;16B", 0, 257, 65535), [BLACK, (1, 1, 1), WHITE]),
    "I;16N": (of("I;16N", 0, 257, 65535), [BLACK, (1, 1, 1), WHITE]),
    "I;16, a transparent color": (of("I;16", 0, 257, transparency=0), [WHITE, (1, 1, 1)]),
    "I as it is": (of("I", 0, 7, 255), [BLACK, (7, 7, 7), WHITE]),
    "I scaled": (of("I", -1000, 1550, 0), [BLACK, WHITE, (100, 100, 100)]),
    "I of one value": (of("I", 1000), [BLACK]),
    "F from 0 to 1": (of("F", 0.2, 0.4), [(51,) * 3, (102,) * 3]),
    "F scaled": (of("F", 100.0, 120.0, 151.0), [BLACK, (100,) * 3, WHITE]),
    "F, not all finite": (
        of("F", float("nan"), float("inf"), -float("inf"), 0.4),
        [BLACK, WHITE, BLACK, (102,) * 3],
    ),
}


@pytest.mark.parametrize(("image", "expected"), MODES.values(), ids=MODES)
def test_every_mode_has_a_conversion(image, expected):
    assert list(to_rgb(image).get_flattened_data()) == expected
    assert RowImage(decoded=image).decode().tobytes() == to_rgb(image).tobytes()


def test_every_pillow_mode_is_tested():
    assert {name.partition(",")[0].partition(" ")[0] for name in MODES} | {"LAB"} == set(PILImage.MODES)


def test_lab_keeps_its_color():
    profiles = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
    lab = ImageCms.applyTransform(stripes(), ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    assert np.abs(np.asarray(to_rgb(lab), int) - np.asarray(stripes(), int)).mean() < 5


def tiff(values: np.ndarray, **tags: object) -> bytes:
    """A TIFF with these values as they are, which Pillow itself writes only for some types."""
    (height, width), bits = values.shape, 8 * values.dtype.itemsize
    entries = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    entries |= {279: values.nbytes, 339: {"u": 1, "i": 2, "f": 3}[values.dtype.kind]}
    entries |= {int(name[1:]): value for name, value in tags.items()}
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, entries[tag]) for tag in sorted(entries))
    directory = struct.pack("<H", len(entries)) + fields + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + values.nbytes) + values.tobytes() + directory


DEEP = {
    "PNG of 16 bits": encode(PILImage.fromarray(RAMP)),
    "TIFF of 16 bits": encode(PILImage.fromarray(RAMP), "TIFF"),
    "TIFF of 16 bits, the other byte order": encode(PILImage.fromarray(RAMP.astype(">u2")), "TIFF"),
    "TIFF of 16 bits, white is zero": tiff(65535 - RAMP, _262=0),
    "TIFF of 16 bits, signed": tiff((RAMP.astype(np.int32) - 32768).astype(np.int16)),
    "TIFF of 32 bits": tiff(RAMP.astype(np.int32) * 30000),
    "TIFF of 32 bits, unsigned": tiff(RAMP.astype(np.uint32) * 65537),
    "TIFF of floats": tiff((RAMP / 65535).astype(np.float32)),
    "TIFF of floats, white is zero": tiff((1 - RAMP / 65535).astype(np.float32), _262=0),
    "TIFF of large floats": tiff((RAMP / 65535 * 6e38 - 3e38).astype(np.float32)),
    "TIFF of meters": tiff((RAMP / 6553.5 + 300).astype(np.float32)),
    "PGM of 16 bits": encode(PILImage.fromarray(RAMP), "PPM"),
    "JPEG 2000 of 16 bits": encode(PILImage.fromarray(RAMP), "JPEG2000"),
}


@pytest.mark.parametrize("data", DEEP.values(), ids=DEEP)
def test_more_than_eight_bits_are_scaled(data):
    found = np.asarray(RowImage(data=data).decode())
    assert (found == GRAY[..., None]).all()


def test_dark_16_bit_image_stays_dark():
    assert np.asarray(RowImage(data=encode(PILImage.fromarray(RAMP // 4))).decode()).max() == 64


def test_floats_need_a_finite_value():
    with pytest.raises(RowError, match="image_error: no value of the image is finite"):
        RowImage(data=tiff(np.full((4, 4), np.nan, np.float32))).decode()


FRAMES = [PILImage.new("RGB", (8, 8), color) for color in (RED, GREEN)]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO", "AVIF"])
def test_first_of_several_frames(kind):
    data = encode(FRAMES[0], kind, save_all=True, append_images=FRAMES[1:])
    red, green, blue = RowImage(data=data).decode().getpixel((4, 4))
    assert red > 240
    assert green < 20
    assert blue < 20


def test_cmyk_jpeg_keeps_its_colors():
    found = RowImage(data=encode(FRAMES[0].convert("CMYK"), "JPEG")).decode().getpixel((4, 4))
    assert np.abs(np.subtract(found, RED)).max() < 10


def test_a_deep_image_is_upright_too():
    exif = PILImage.Exif()
    exif[0x0112] = 6
    for kind in ("PNG", "TIFF"):
        found = RowImage(data=encode(PILImage.fromarray(RAMP[:8]), kind, exif=exif)).decode()
        assert (np.asarray(found)[..., 0] == np.rot90(GRAY[:8], -1)).all()


def test_an_open_image_is_upright_too():
    exif = PILImage.Exif()
    exif[0x0112] = 6
    data = encode(stripes(20, 12), exif=exif)
    opened = RowImage(decoded=PILImage.open(io.BytesIO(data))).decode()
    assert (opened.size, opened.tobytes()) == ((12, 20), RowImage(data=data).decode().tobytes())


@pytest.mark.parametrize(
    ("least", "size"),
    [(None, (480, 640)), (30, (60, 80)), (60, (60, 80)), (61, (120, 160)), (481, (480, 640))],
)
def test_jpegs_decode_at_a_part(least, size):
    exif = PILImage.Exif()
    exif[0x0112] = 6
    image = PILImage.fromarray(GRAY).resize((640, 480))
    found = RowImage(data=encode(image, "JPEG", exif=exif)).decode(least)
    whole = np.asarray(image.rotate(-90, expand=True).resize(size).convert("RGB"), dtype=int)
    assert found.size == size
    assert np.abs(np.asarray(found) - whole).max() < 20


def test_other_kinds_decode_whole():
    assert RowImage(data=encode(stripes(640, 480))).decode(least=30).size == (640, 480)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


LONG = zlib.compress(bytes(3 << 20))
CHUNKS = {
    "zTXt": chunk(b"zTXt", b"c\0\0" + LONG),
    "iTXt": chunk(b"iTXt", b"c\0\1\0\0\0" + LONG),
    "iCCP": chunk(b"iCCP", b"x\0\0" + LONG),
    "many texts": chunk(b"tEXt", b"c\0" + bytes(30 << 20)) * 3,
}


@pytest.mark.parametrize("behind", [False, True], ids=["before the pixels", "behind them"])
@pytest.mark.parametrize("extra", CHUNKS.values(), ids=CHUNKS)
def test_png_with_long_texts_decodes(extra, behind):
    exif = PILImage.Exif()
    exif[0x0112] = 6
    good = encode(stripes(20, 12), exif=exif)
    at = len(good) - 12 if behind else 33
    found = RowImage(data=good[:at] + extra + good[at:]).decode()
    assert found.size == (12, 20)
    assert found.tobytes() == RowImage(data=good).decode().tobytes()


def test_truncated_png_with_long_texts():
    with pytest.raises(RowError, match="image_error: "):
        RowImage(data=png()[:33] + CHUNKS["zTXt"] + png()[33:-30]).decode()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    "limit", [PILImage.MAX_IMAGE_PIXELS, None], ids=["Pillow's limit", "no limit of Pillow"]
)
@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP"])
def test_too_many_pixels_are_never_decoded(monkeypatch, kind, limit):
    monkeypatch.setattr(PILImage, "MAX_IMAGE_PIXELS", limit)
    data = bytearray(encode(stripes(), kind))
    at, form = {"PNG": (16, ">II"), "GIF": (6, "<HH"), "BMP": (18, "<II")}[kind]
    struct.pack_into(form, data, at, 40_000, 40_000)
    if kind == "PNG":
        struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    monkeypatch.setattr(pixels, "to_rgb", lambda image: pytest.fail("it was decoded"))
    with pytest.raises(RowError, match=r"image_error: .*(178,956,970|178956970) pixels"):
        RowImage(data=bytes(data)).decode()


@pytest.mark.parametrize("size", [(20_000, 1), (1, 20_000), (600, 2)], ids=str)
def test_image_too_thin_for_processor(size):
    image = PILImage.new("RGB", size)
    with pytest.raises(RowError, match=r"image_error: .*: more than 33,554,432 pixels"):
        refuse_resize(image, SimpleNamespace(size={"shortest_edge": 336}))
    bounded = {"shortest_edge": 336, "longest_edge": 672}
    for kind in (
        {"shortest_edge": 40},
        bounded,
        {"longest_edge": 336},
        {"height": 336, "width": 336},
        336,
        None,
    ):
        refuse_resize(image, SimpleNamespace(size=kind))
    refuse_resize(PILImage.new("RGB", (290, 1)), SimpleNamespace(size={"shortest_edge": 336}))


def test_image_larger_than_memory(monkeypatch):
    def run_out(image):
        raise MemoryError

    monkeypatch.setattr(pixels, "to_rgb", run_out)
    with pytest.raises(RowError, match=r"image_error: .* MemoryError"):
        RowImage(data=png()).decode()


def test_a_program_is_no_image():
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    with pytest.raises(RowError, match="cannot identify image file"):
        RowImage(data=program).decode()
