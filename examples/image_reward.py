"""Score images and texts with ImageReward, in an environment of its own; see docs/guides/image_reward.md.

    python image_reward.py for_image_reward.parquet image_reward.parquet

It does not import hf_vitselect. Row ids pass through unchanged.
"""

import io
import sys

import ImageReward
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image, ImageOps

SCHEMA = pa.schema(
    [("row_id", pa.string()), ("image_reward", pa.float32()), ("image_reward_status", pa.string())]
)


def reward(model, text, encoded):
    """The mean reward of a row's images, and a status."""
    if not encoded:
        return None, "image_missing"
    try:
        images = [ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB") for data in encoded]
    except Exception:  # Pillow's plugins raise many types.
        return None, "image_error"
    rewards = [model.score(text, image) for image in images]
    return sum(rewards) / len(rewards), "ok"


def main(source, target):
    model = ImageReward.load("ImageReward-v1.0")
    with pq.ParquetWriter(target, SCHEMA) as file, torch.no_grad():
        for batch in pq.ParquetFile(source).iter_batches(batch_size=100):
            rows = batch.to_pylist()
            scores = [reward(model, row["text"], row["images"]) for row in rows]
            columns = [[row["row_id"] for row in rows], *map(list, zip(*scores, strict=True))]
            file.write_table(pa.table(columns, schema=SCHEMA))


if __name__ == "__main__":
    main(*sys.argv[1:])
