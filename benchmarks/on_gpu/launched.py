"""Steps of training in the processes of `accelerate launch`; the first one prints the figures as JSON.

    accelerate launch --config_file CONFIG --module on_gpu.launched cuda

`train_launched` of measurements.py runs it in benchmarks/; with `cpu` the model is tiny.
"""

import json
import os
import sys

import torch
from on_gpu.measurements import FULL, TINY, train


def main(device: str) -> None:
    """Train all weights of the smaller model."""
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    figures = train(FULL if device == "cuda" else TINY, "qwen", whole=True)
    if os.environ.get("RANK", "0") == "0":
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
