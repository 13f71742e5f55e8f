"""Every response ends: by the template's token, or by the tokenizer's EOS where the template writes none."""

import shutil
from pathlib import Path

import pytest
import torch
from pools import assistant, png, pool, stripes, user
from prompts import LLAVA_HF, bytewise_llava, conversation, llava_processor, masked_text, turns
from tiny import CHATML, VICUNA, tokenizer
from tokenizers import AddedToken
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import SFTConfig

from hf_vitselect import NecessityScorer, select_diverse
from hf_vitselect.data.conversation import Turn
from hf_vitselect.data.rows import read_table
from hf_vitselect.errors import ModelError, RowError
from hf_vitselect.evaluation import ExactMatch, Generated
from hf_vitselect.models.encoding import Encoder
from hf_vitselect.rules import Random
from hf_vitselect.scorers import GraNdScorer
from hf_vitselect.training import SelectionSFTTrainer, train_seed_model

BODY = (
    "{% for p in m['content'] %}{% if p['type'] == 'image' %}<image>{% else %}{{ p['text'] }}{% endif %}"
    "{% endfor %}"
)
ROLE = "{% for m in messages %}{{ m['role'] | upper }}: " + BODY
ANSWERS = "{% if m['role'] == 'assistant' %}"

# The template, and what each of two answers ends with.
MEMBERS = {
    "none": (ROLE + " {% endfor %}", ["</s>", "</s>"]),
    "llava-1.5's own": (LLAVA_HF, ["</s>", "</s>"]),
    "after the last alone": (ROLE + " {% endfor %}</s>", ["</s>", " </s>"]),
    "another token after the last alone": (ROLE + "\n{% endfor %}<|im_end|>", ["<|im_end|>", "<|im_end|>"]),
    "after all but the last": (
        ROLE + ANSWERS + "{% if not loop.last %}<|im_end|>{% endif %}{% endif %}\n{% endfor %}",
        ["<|im_end|>", "<|im_end|>"],
    ),
    "after the last, without a generation prompt": (
        ROLE + "<|im_end|>\n{% endfor %}{% if not add_generation_prompt %}</s>{% endif %}",
        ["<|im_end|>", "<|im_end|>"],
    ),
    "before a generation prompt alone": (
        ROLE + " {% endfor %}{% if add_generation_prompt %}</s>ASSISTANT:{% endif %}",
        ["</s>", "</s>"],
    ),
    "always asks for one more": (
        CHATML.replace("PICTURE", "<image>").replace("<|im_end|>", "") + "<|im_start|>assistant\n",
        ["</s>", "</s>"],
    ),
    "a line break behind it": (
        ROLE + ANSWERS + "<|im_end|>\n{% else %} {% endif %}{% endfor %}",
        ["<|im_end|>", "<|im_end|>"],
    ),
    "plain text": (ROLE + "\n### End\n{% endfor %}", ["</s>", "</s>"]),
    "an EOS that opens turns too": (
        "{% for m in messages %}</s>{{ m['role'] }} " + BODY + "{% endfor %}",
        ["</s>", "</s>"],
    ),
    "the tokenizer's EOS": (
        ROLE + ANSWERS + "{{ eos_token }}{% endif %} {% endfor %}",
        ["</s>", "</s>"],
    ),
}


@pytest.mark.parametrize(("template", "ends"), MEMBERS.values(), ids=MEMBERS)
def test_every_response_ends(template, ends, monkeypatch):
    encoder = bytewise_llava(template, monkeypatch)
    row = conversation(turns("what?", "red", "and?", "or green", pictures=1))
    assert masked_text(encoder, row) == f"red{ends[0]}or green{ends[1]}"
    assert masked_text(encoder, conversation(turns("what?", "red"))) == f"red{ends[1]}"


def test_ordinary_end_tokens_are_found():
    words = tokenizer("<image>")
    words.add_tokens([AddedToken("<|end|>", special=False)])
    encoder = Encoder(llava_processor(VICUNA.replace("</s>", "<|end|>"), words))
    assert encoder.template.inserted == ""
    assert masked_text(encoder, conversation(turns("what?", "red"))).endswith("red<|end|>")


@pytest.mark.parametrize("end_of_turn", ["auto", "template"])
def test_it_is_said(end_of_turn, caplog):
    Encoder(llava_processor(LLAVA_HF), end_of_turn=end_of_turn)
    assert "end-of-turn" in caplog.text
    caplog.clear()
    Encoder(llava_processor(VICUNA), end_of_turn=end_of_turn)
    assert caplog.text == ""


def test_a_missing_eos_is_an_error():
    words = tokenizer("<image>")
    words.eos_token = None
    with pytest.raises(ModelError, match=r"set tokenizer\.eos_token"):
        Encoder(llava_processor(LLAVA_HF, words))
    assert Encoder(llava_processor(LLAVA_HF, words), end_of_turn="template").template.inserted == ""


def test_answers_cannot_end_in_images():
    row = conversation((Turn("user", ("show",)), Turn("assistant", ("so:", None))))
    with pytest.raises(RowError, match="ends in an image"):
        Encoder(llava_processor(ROLE + " {% endfor %}")).encode(row)
    assert masked_text(Encoder(llava_processor(ROLE + "</s>{% endfor %}")), row) == "so:</s>"


@pytest.mark.parametrize("make", [NecessityScorer, GraNdScorer])
def test_another_word_is_refused(make):
    with pytest.raises(ValueError, match="end_of_turn"):
        make("model", end_of_turn="eos")


@pytest.fixture
def endless(tiny, tmp_path):
    """A LLaVA whose template closes no answer, as that of llava-hf/llava-1.5-7b-hf."""
    folder = tmp_path / "endless"
    shutil.copytree(tiny("llava").folder, folder)
    (folder / "chat_template.jinja").write_text(LLAVA_HF)
    return str(folder)


ONE = ([user("what colour?", 1), assistant("red")], [png(0)])
TWO = ([user("what colour?", 1), assistant("red"), user("and now?"), assistant("green")], [png(1)])


def config(folder, **changes):
    plain = {"max_length": None, "use_cpu": True, "bf16": False, "gradient_checkpointing": False}
    quiet = {"report_to": "none", "save_strategy": "no", "disable_tqdm": True}
    return SFTConfig(str(folder), **{**plain, **quiet, "max_steps": 1, **changes})


@pytest.mark.parametrize("end_of_turn", ["auto", "template"])
def test_scoring_and_training_supervise_alike(end_of_turn, endless, tmp_path):
    rows = pool([ONE, TWO])
    scorer = NecessityScorer(endless, end_of_turn=end_of_turn)
    scored = rows.map(scorer, batched=True)
    trainer = SelectionSFTTrainer(
        endless,
        selection=select_diverse(rows, 2, rule=Random()),
        args=config(tmp_path),
        end_of_turn=end_of_turn,
    )
    batch = trainer.data_collator([rows[0], rows[1]])
    encoded = [scorer.loaded.encoder.encode(row) for row in read_table(rows.with_format("arrow")[:])]
    for row, ids, labels in zip(encoded, batch["input_ids"], batch["labels"], strict=True):
        assert torch.equal(row.inputs["input_ids"][0], ids[: row.length])
        assert torch.equal(row.inputs["input_ids"][row.response], labels[labels != -100])
    assert scored["response_tokens"][:] == (batch["labels"] != -100).sum(1).tolist()
    ends = (batch["labels"] == trainer.processing_class.tokenizer.eos_token_id).sum(1).tolist()
    assert ends == ([1, 2] if end_of_turn == "auto" else [0, 0])


def test_recipe_and_card_say_so(endless, tmp_path):
    recipes = [NecessityScorer(endless, **it).recipe() for it in ({}, {"end_of_turn": "template"})]
    assert [recipe["end_of_turn"] for recipe in recipes] == ["auto", "template"]
    seed = train_seed_model(pool([ONE, TWO]), endless, 2, config(tmp_path))
    assert seed.recipe.end_of_turn == "</s>"
    assert "Training inserted `</s>` there" in Path(tmp_path, "README.md").read_text()


@pytest.fixture(scope="module")
def fitted(tiny, tmp_path_factory):
    """Two models that know two answers by heart, one of which has learned to stop."""
    folder = tmp_path_factory.mktemp("fitted")
    shutil.copytree(tiny("llava").folder, folder / "base")
    (folder / "base" / "chat_template.jinja").write_text(LLAVA_HF)
    selection = select_diverse(pool([ONE, TWO]), 2, rule=Random())
    for end_of_turn in ("auto", "template"):
        args = config(folder / end_of_turn, max_steps=25, learning_rate=1e-2, lr_scheduler_type="constant")
        trainer = SelectionSFTTrainer(
            str(folder / "base"), selection=selection, args=args, end_of_turn=end_of_turn
        )
        trainer.train()
        trainer.save_model()
    return folder


@torch.inference_mode()
def written(folder):
    """What plain `transformers` writes to the first question."""
    model = AutoModelForImageTextToText.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder)
    parts = [{"type": "image"}, {"type": "text", "text": "what colour?"}]
    text = processor.apply_chat_template([{"role": "user", "content": parts}]) + "ASSISTANT:"
    inputs = processor(text=[text], images=[stripes(seed=0)], return_tensors="pt")
    ids = model.generate(**inputs, max_new_tokens=20, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    return processor.tokenizer.decode(ids)


def test_a_trained_model_stops(fitted):
    assert written(fitted / "auto").strip() == "red</s>"
    assert len(written(fitted / "template")) > len("red</s>") + 3


def test_a_prefix_is_no_exact_match(fitted):
    rows = pool([ONE, TWO])
    assert ExactMatch(rows)(str(fitted / "auto")) == [1, 1]
    assert ExactMatch(rows)(str(fitted / "template")) == [0, 0]
    assert ExactMatch(rows, end_of_turn="template")(str(fitted / "template")) == [1, 1]
    assert Generated(rows)(str(fitted / "auto")) == [1, 1]
