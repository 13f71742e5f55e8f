"""examples/lm_eval_judge.py lets lm-eval judge a comparison."""

import importlib
import io
import json
import sys

import numpy as np
import pytest
from datasets import Dataset
from example_runs import EXAMPLES, TRAINING, run_script
from PIL import Image
from pools import mixed_pool, png
from transformers import AutoModelForImageTextToText, AutoProcessor

pytest.importorskip("lm_eval", reason="lm-eval is not installed")
pytestmark = pytest.mark.slow
QUESTIONS = [f"what colour is it? {i}" for i in range(6)]


def generated(model, processor, question, number):
    """What a model says to a question about an image, in at most 8 tokens, up to the end of the line."""
    content = [{"type": "image"}, {"type": "text", "text": question}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(text=text, images=[Image.open(io.BytesIO(png(number)))], return_tensors="pt")
    tokens = model.generate(**inputs, do_sample=False, max_new_tokens=8)[0, inputs["input_ids"].shape[1] :]
    return processor.decode(tokens, skip_special_tokens=True).split("\n")[0]


def held_out(answers, path):
    images = [{"bytes": png(i), "path": None} for i in range(len(answers))]
    Dataset.from_dict({"image": images, "question": QUESTIONS, "answer": answers}).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def judge():
    sys.path.append(str(EXAMPLES))
    yield importlib.import_module("lm_eval_judge").LMEval
    sys.path.remove(str(EXAMPLES))


def test_lm_eval_agrees_with_generation(tiny, judge, tmp_path):
    folder = tiny("llava").folder
    model = AutoModelForImageTextToText.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder)
    right = [generated(model, processor, question, i) for i, question in enumerate(QUESTIONS)]
    rows = Dataset.from_parquet(str(held_out([*right[:4], "no", "such answer"], tmp_path / "rows.parquet")))
    assert judge(rows, 8)(str(folder)) == [1, 1, 1, 1, 0, 0]


def test_lm_eval_judges_a_comparison(tiny, tmp_path):
    scored = mixed_pool(12).add_column("necessity", np.arange(12, dtype=np.float32))
    scored.save_to_disk(tmp_path / "scored")
    run_script(
        "lm_eval_judge.py",
        dataset_name=tmp_path / "scored",
        held_out=held_out(["red"] * 6, tmp_path / "rows.parquet"),
        model_name_or_path=tiny("llava").folder,
        output_dir=tmp_path / "out",
        budget=0.5,
        seeds=2,
        **TRAINING,
    )
    saved = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert "lm-eval" in json.dumps(saved)
