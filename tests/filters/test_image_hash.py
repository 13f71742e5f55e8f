"""The perceptual hash: copies are near, other images far."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from pools import encode

from hf_vitselect.data.pixels import decode
from hf_vitselect.filters.image_hash import HASH_BITS, LEAST_SIDE, ImageHashes, image_hash


def blobs(seed, side=96):
    """A smooth image of random colors."""
    colors = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(colors).resize((side, side), Image.Resampling.BICUBIC)


CHANGES = {
    "jpeg": lambda image: Image.open(io.BytesIO(encode(image, "JPEG", quality=60))),
    "smaller": lambda image: image.resize((40, 40), Image.Resampling.BILINEAR),
    "wider": lambda image: image.resize((150, 120), Image.Resampling.BICUBIC),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.05),
    "cropped": lambda image: image.crop((1, 1, image.width - 1, image.height - 1)),
}


@pytest.mark.parametrize("side", [96, 500])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_copies_differ_in_few_bits(change, side):
    images = [blobs(seed, side) for seed in range(30)]
    distances = [np.count_nonzero(image_hash(image) != image_hash(change(image))) for image in images]
    assert max(distances) <= 19


def test_part_of_a_jpeg_is_enough():
    data = [encode(blobs(seed, 700), "JPEG", quality=90) for seed in range(30)]
    pairs = [[image_hash(decode(one, least)) for least in (None, LEAST_SIDE)] for one in data]
    assert max(np.count_nonzero(whole != part) for whole, part in pairs) <= 8


def test_other_images_differ_in_many():
    hashes = [image_hash(blobs(seed)) for seed in range(30)]
    pairs = [np.count_nonzero(hashes[i] != hashes[j]) for i in range(30) for j in range(i)]
    assert min(pairs) > 60


def test_color_alone_makes_a_difference():
    gray = np.full((16, 16, 3), 120, dtype=np.uint8)
    red, blue = gray.copy(), gray.copy()
    red[4:12, 4:12, 0] += 100
    blue[4:12, 4:12, 2] += 100
    one, two = image_hash(Image.fromarray(red)), image_hash(Image.fromarray(blue))
    assert one.shape == (HASH_BITS,)
    assert np.count_nonzero(one != two) > 19


def test_flat_images_have_no_hash():
    assert image_hash(Image.new("RGB", (64, 64), "teal")) is None


def test_hashes_come_back():
    bits = np.random.default_rng(0).random((5, 384)) < 0.5
    hashes = ImageHashes(np.array([0, -1, 2, 0]), np.packbits(bits, axis=1))
    both = hashes.of(np.array([2, 0]), 2)
    assert (both.shape, both.dtype) == ((2, 2, 384), np.float32)
    np.testing.assert_array_equal(both, np.where(bits[[[2, 3], [0, 1]]], 1, -1))
    assert hashes.of(np.array([3]), 0).shape == (1, 0, 384)
