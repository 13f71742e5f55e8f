"""The response mask: for every processor, template and conversation, exactly the answers and their ends."""

import contextlib
import json

import pytest
import tiny as tiny_models
import torch
from pools import encode, png, stripes
from prompts import LLAVA_HF, bytewise_llava, conversation, llava_processor, masked_text, turns
from tiny import ARCHITECTURES, CHATML, PLAIN_STRINGS, SIZE, VICUNA
from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers
from transformers import AutoProcessor, InstructBlipProcessor, PreTrainedTokenizerFast
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.images import RowImage
from hf_vitselect.data.rows import read_row
from hf_vitselect.errors import ModelError, RowError
from hf_vitselect.models.encoding import Encoder
from hf_vitselect.models.processors import SavedProcessor

ENDS = {
    "llava": "</s>",
    "idefics3": "<end_of_utterance>",
    "qwen2_vl": "<|im_end|>",
    "qwen2_5_vl": "<|im_end|>",
    "blip2": "</s>",
    "llava_next": "</s>",
    "gemma3": "</s>",
}
TURNS = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for p in m['content'] %}"
PARTS = "{% if p['type'] == 'image' %}<image>{% else %}{{ p['text'] | trim }}{% endif %}{% endfor %}"


def as_is(*parts):
    return "".join(parts)


# The template, what it writes after an answer, what it makes of an answer's parts.
TEMPLATES = {
    "vicuna": (VICUNA, "</s>", as_is),
    "a space before the end": (VICUNA.replace("'</s>'", "' </s>'"), " </s>", as_is),
    "chatml": (CHATML.replace("PICTURE", "<image>"), "<|im_end|>", as_is),
    "llava-1.5-hf, no end": (LLAVA_HF, "", lambda *parts: " ".join(parts)),
    "no end, then a special token": (TURNS + PARTS.replace(" | trim", "") + "{% endfor %}", "", as_is),
    "trims": (TURNS + PARTS + "<|im_end|>\n{% endfor %}", "<|im_end|>", str.strip),
    "trims, a space before the end": (TURNS + PARTS + " <|im_end|>\n{% endfor %}", " <|im_end|>", str.strip),
    "trims the left": (
        TURNS
        + PARTS.replace("| trim", ".lstrip()").replace("p['text'] .", "p['text'].")
        + "</s>{% endfor %}",
        "</s>",
        str.lstrip,
    ),
    "trims the right": (
        TURNS
        + PARTS.replace("| trim", ".rstrip()").replace("p['text'] .", "p['text'].")
        + "</s>{% endfor %}",
        "</s>",
        str.rstrip,
    ),
    "text of BOS": ("<s>" + VICUNA, "</s>", as_is),
    "BOS in every turn": (VICUNA.replace("{{ m['role']", "<s>{{ m['role']"), "</s>", as_is),
}


CONVERSATIONS = {
    "one turn, one picture": turns("what colour?", "red", pictures=1),
    "text only": turns("what colour?", "It is red."),
    "two pictures": turns("which?", "the blue one", pictures=2),
    "multi-turn": turns("what?", "red", "and?", "green or blue", "sure?", "no", pictures=1),
    "an empty answer among others": turns("what?", "", "and?", "green", "so?", " ", pictures=1),
    "white space around": turns("what?", " red ", "and?", "\ngreen\n\n", "so?", "  b  c  "),
    "emoji and other scripts": turns("was? 🎈", "🎈🧑‍🚀 ro\u0301t", "и?", "синий 蓝", pictures=1),
    "equal answers": turns("what?", "red", "and?", "red", "so?", "red"),
    "an answer equal to its question": turns("red", "red", pictures=1),
    "an answer that looks like the template": turns("what?", "ASSISTANT: user\nassistant USER: "),
    "private-use characters": turns("\uf8f0 what?", "\uf8f1\uf8f2 red \uf8f0", pictures=1),
    "a system turn": (Turn("system", ("be brief",)), *turns("what?", "red", pictures=1)),
    "several parts": (Turn("user", ("a", None, "b")), Turn("assistant", ("red ", "and", " green"))),
    "a question without text": turns("", "red", pictures=1),
    "an answer without parts": (*turns("what?", "red"), Turn("user", ("and?",)), Turn("assistant", ())),
}
BLANK = {"an empty answer among others", "an answer without parts", "white space around"}


def expected(talk, end, change=as_is):
    return "".join(change(*turn.parts or ("",)) + end for turn in talk if turn.role == "assistant")


@pytest.fixture(scope="module")
def bytewise():
    """Encoders whose tokens are single bytes, so that a mask can be right to the character."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_models, "CORPUS", [])
        return {name: Encoder(build()[1]) for name, build in ARCHITECTURES.items()}


@pytest.mark.parametrize("talk", CONVERSATIONS.values(), ids=CONVERSATIONS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_mask_covers_answers_and_ends(bytewise, architecture, talk):
    if architecture == "blip2":  # takes one picture at most
        talk = [Turn(turn.role, turn.parts[turn.parts.count(None) > 1 :]) for turn in talk]
    assert masked_text(bytewise[architecture], conversation(talk)) == expected(talk, ENDS[architecture])


@pytest.mark.parametrize("talk", CONVERSATIONS.values(), ids=CONVERSATIONS)
@pytest.mark.parametrize(("template", "end", "change"), TEMPLATES.values(), ids=TEMPLATES)
@pytest.mark.parametrize("end_of_turn", ["auto", "template"])
def test_the_mask_fits_every_template(end_of_turn, template, end, change, talk, monkeypatch):
    if change in (str.strip, str.lstrip, str.rstrip):  # of every part
        talk = [turn if None in turn.parts else Turn(turn.role, (turn.text,)) for turn in talk]
    encoder = bytewise_llava(template, monkeypatch, end_of_turn)
    end = end or ("</s>" if end_of_turn == "auto" else "")
    assert masked_text(encoder, conversation(talk)) == expected(talk, end, change)


@pytest.mark.parametrize("name", ["text of BOS", "vicuna"])
def test_the_row_starts_with_one_bos(name):
    words = tiny_models.tokenizer("<image>")
    words._tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", words.bos_token_id)]
    )
    encoded = Encoder(llava_processor(TEMPLATES[name][0], words)).encode(conversation(turns("a", "b")))
    assert encoded.inputs["input_ids"][0, :2].tolist().count(words.bos_token_id) == 1
    assert encoded.inputs["input_ids"][0, 0] == words.bos_token_id


def llama_like():
    """A sentencepiece-like tokenizer: a prefix space, spaces as ▁, bytes for unknown characters."""
    names = ["<unk>", "<pad>", "<s>", "</s>", "<image>", "<|im_start|>", "<|im_end|>"]
    names += [f"<0x{byte:02X}>" for byte in range(256)]
    bpe = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    bpe.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    bpe.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=names)
    bpe.train_from_iterator(tiny_models.CORPUS * 3, trainer)
    bpe.add_special_tokens(names[1:7])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, unk_token="<unk>", pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )


@pytest.mark.parametrize("talk", CONVERSATIONS.values(), ids=CONVERSATIONS)
@pytest.mark.parametrize("words", [lambda: None, llama_like], ids=["byte-level merges", "sentencepiece"])
@pytest.mark.parametrize("name", ["vicuna", "chatml", "llava-1.5-hf, no end"])
def test_partial_answer_tokens_are_supervised(name, words, talk):
    template, end, _ = TEMPLATES[name]
    encoder = Encoder(llava_processor(template, words()), end_of_turn="template")
    found = masked_text(encoder, conversation(talk))
    # Merged tokens and prefix spaces may add the template's white space, and nothing else.
    assert "".join(found.split()) == "".join(expected(talk, end).split())


@pytest.mark.parametrize("template", [VICUNA, LLAVA_HF], ids=["vicuna", "no end"])
@pytest.mark.parametrize("talk", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_offsets_may_omit_white_space(template, talk):
    masks = []
    for trim in (False, True):
        words = tiny_models.tokenizer("<image>")
        words._tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim)
        masks.append(Encoder(llava_processor(template, words)).encode(conversation(talk)).response)
    assert torch.equal(*masks)


def test_tokens_shared_with_templates_are_supervised():
    words = tiny_models.tokenizer("<image>")
    processor = llava_processor(VICUNA.replace(": {%", ":{%").replace("{{ p['text']", " {{ p['text']"), words)
    encoder = Encoder(processor)
    encoded = encoder.encode(conversation(turns("what", "colour")))
    tokens = words.convert_ids_to_tokens(encoded.inputs["input_ids"][encoded.response])
    assert tokens[0].startswith("Ġ")
    assert "".join(tokens) == "Ġcolour</s>"


@pytest.mark.parametrize("architecture", ["idefics3", "qwen2_vl", "qwen2_5_vl", "llava"])
def test_image_tokens_are_never_supervised(bytewise, architecture):
    encoder = bytewise[architecture]
    encoded = encoder.encode(conversation((Turn("user", ("show",)), Turn("assistant", ("so:", None)))))
    ids = encoded.inputs["input_ids"][encoded.response]
    assert not set(ids.tolist()) & encoder._image_ids
    assert encoder.tokenizer.decode(ids).startswith("so:")


SPELLED = [
    ("llava", "</s>"),
    ("llava", "<image>"),
    ("llava", "<s>"),
    ("llava", "<pad>"),
    ("idefics3", "<end_of_utterance>"),
    ("idefics3", "<image>"),
    ("idefics3", "<row_1_col_2>"),
    ("qwen2_vl", "<|image_pad|>"),
    ("qwen2_5_vl", "<|im_end|>"),
    ("qwen2_5_vl", "<|video_pad|>"),
    ("blip2", "<image>"),
    ("blip2", "</s>"),
]


@pytest.mark.parametrize("place", ["answer", "question"])
@pytest.mark.parametrize(("architecture", "token"), SPELLED)
def test_spelled_special_tokens_are_refused(bytewise, architecture, token, place):
    text = f"it says {token} here"
    talk = turns("what?", text, pictures=1) if place == "answer" else turns(text, "red", pictures=1)
    with pytest.raises(RowError) as caught:
        bytewise[architecture].encode(conversation(talk))
    assert caught.value.status == "control_tokens"
    assert token in str(caught.value)


def test_special_tokens_across_parts_are_refused(bytewise):
    talk = (Turn("user", ("what?",)), Turn("assistant", ("</", "s>")))
    with pytest.raises(RowError, match="control_tokens"):
        bytewise["llava"].encode(conversation(talk))


def test_another_family_s_placeholder_is_text(bytewise):
    talk = turns("a <image>?", "an <image>", pictures=1)
    assert masked_text(bytewise["qwen2_vl"], conversation(talk)) == "an <image><|im_end|>"


@pytest.mark.parametrize("answers", [[], [""], [" \n"], ["", ""]], ids=repr)
def test_blank_answers_are_no_response(bytewise, answers):
    talk = [Turn("user", ("a",)), *(Turn("assistant", (answer,)) for answer in answers)]
    with pytest.raises(RowError, match="no_response"):
        bytewise["llava"].encode(conversation(talk))


def test_too_long_counts_image_tokens(tiny):
    _, processor = ARCHITECTURES["llava"]()
    row = conversation(turns("what?", "red", pictures=1))
    length = Encoder(processor).encode(row).length
    assert Encoder(processor, context=length).encode(row).length == length
    with pytest.raises(RowError, match="too_long"):
        Encoder(processor, context=length - 1).encode(row)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3)], ids=str)
def test_odd_images_encode_or_fail_cleanly(bytewise, architecture, size):
    row = Conversation(turns("what?", "red", pictures=1), (RowImage(data=encode(stripes(*size))),))
    with contextlib.suppress(RowError):  # and nothing else
        assert bytewise[architecture].encode(row).length > 10


def test_blip2_refuses_a_second_picture(bytewise):
    with pytest.raises(RowError, match="placeholder_mismatch"):
        bytewise["blip2"].encode(conversation(turns("what?", "red", pictures=2)))


def test_string_templates_get_placeholders():
    strings = (
        "{% for m in messages %}{{ m['role'] | upper }}: {{ m['content'] }}"
        "{{ '</s>' if m['role'] == 'assistant' else ' ' }}{% endfor %}"
    )
    row = conversation((Turn("user", ("a", None, "b", None)), Turn("assistant", ("red",))))
    encoded, same = (Encoder(llava_processor(template)).encode(row) for template in (strings, VICUNA))
    assert torch.equal(encoded.inputs["input_ids"], same.inputs["input_ids"])
    assert torch.equal(encoded.response, same.response)


def test_tiled_images_shift_the_mask():
    _, processor = ARCHITECTURES["idefics3"]()
    row = Conversation(
        turns("which?", "red 🎈", "so?", "no", pictures=2), (RowImage(data=encode(stripes(64, 40))),) * 2
    )
    whole = Encoder(processor).encode(row)
    processor.image_processor.do_image_splitting = True
    processor.image_processor.size = {"longest_edge": 64}
    split = Encoder(processor).encode(row)
    assert split.length > whole.length + 20
    assert torch.equal(*(it.inputs["input_ids"][it.response] for it in (whole, split)))


def test_unrendered_images_are_a_mismatch():
    encoder = Encoder(llava_processor(VICUNA.replace("<image>\n", "")))
    with pytest.raises(RowError, match="placeholder_mismatch"):
        encoder.encode(conversation(turns("what?", "red", pictures=1)))


def test_cut_answers_are_bad_rows():
    encoder = Encoder(
        llava_processor(VICUNA.replace("{{ p['text'] }}", "{{ p['text'].split('</cut>')[-1] }}"))
    )
    assert encoder.encode(conversation(turns("what?", "red"))).response.any()
    with pytest.raises(RowError, match="bad_row"):
        encoder.encode(conversation(turns("what?", "hm</cut>red")))


def test_refused_turns_are_bad_rows():
    refusing = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + VICUNA
    )
    with pytest.raises(RowError, match=r"bad_row.*no system"):
        Encoder(llava_processor(refusing)).encode(conversation(CONVERSATIONS["a system turn"]))


@pytest.mark.parametrize("error", [ValueError, RuntimeError], ids=lambda error: error.__name__)
def test_refused_images_are_bad_rows(error, monkeypatch):
    encoder = Encoder(llava_processor(VICUNA))

    def refuse(*_, **__):
        raise error("too narrow")

    monkeypatch.setattr(type(encoder.processor.image_processor), "__call__", refuse)
    with pytest.raises(RowError, match=r"bad_row.*too narrow"):
        encoder.encode(conversation(turns("what?", "red", pictures=1)))


def test_oversized_images_fail_their_row(monkeypatch):
    encoder, row = Encoder(llava_processor(VICUNA)), conversation(turns("what?", "red", pictures=1))
    thin = Conversation(row.turns, (RowImage(encode(stripes(20_000, 1))),))
    assert encoder.encode(thin).length == encoder.encode(row).length
    monkeypatch.setattr(encoder.processor.image_processor, "size", {"shortest_edge": 336})
    with pytest.raises(RowError, match=r"image_error: 20000 x 1: more than"):
        encoder.encode(thin)

    def run_out(*_, **__):
        raise MemoryError

    monkeypatch.setattr(type(encoder.processor.image_processor), "__call__", run_out)
    with pytest.raises(RowError, match=r"image_error: .*memory \(16 x 16\)"):
        encoder.encode(row)


def test_a_missing_chat_template_is_explained():
    with pytest.raises(ModelError, match=r"LlavaProcessor.*set processor\.chat_template"):
        Encoder(llava_processor(None))


def test_the_tokenizer_s_template_serves_too():
    processor = llava_processor(None)
    processor.tokenizer.chat_template = VICUNA
    assert masked_text(Encoder(processor), conversation(turns("a", "red", pictures=1))).endswith("red</s>")


def test_a_slow_tokenizer_is_refused(monkeypatch):
    processor = llava_processor(VICUNA)
    monkeypatch.setattr(type(processor.tokenizer), "is_fast", False)
    with pytest.raises(ModelError, match="fast tokenizer"):
        Encoder(processor)


def test_q_former_texts_are_refused():
    pictures = BlipImageProcessorPil(size={"height": SIZE, "width": SIZE})
    processor = InstructBlipProcessor(
        pictures, tiny_models.tokenizer("<image>"), tiny_models.tokenizer(), num_query_tokens=3
    )
    processor.chat_template = PLAIN_STRINGS
    with pytest.raises(ModelError, match=r"InstructBlipProcessor with \['qformer_input_ids'\]"):
        Encoder(processor)


UPPER = VICUNA.replace("p['text']", "p['text'] | upper")


@pytest.mark.parametrize(
    "template",
    ["{% for", "{{ raise_exception('never') }}", "constant", UPPER],
    ids=["syntax error", "raises", "constant", "upper case"],
)
def test_templates_that_change_answers_are_refused(template):
    with pytest.raises(ModelError, match="chat template"):
        Encoder(llava_processor(template))


def test_silent_placeholder_expansion_is_refused(monkeypatch):
    processor = llava_processor(VICUNA)
    call = type(processor).__call__

    def silent(self, *args, **options):
        encoding = call(self, *args, **options)
        encoding.pop("text_replacement_offsets", None)
        return encoding

    monkeypatch.setattr(type(processor), "__call__", silent)
    with pytest.raises(ModelError, match="return_text_replacement_offsets"):
        Encoder(processor).encode(conversation(turns("what?", "red", pictures=1)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_saved_processor_encodes_the_same(architecture):
    _, processor = ARCHITECTURES[architecture]()
    saved = SavedProcessor.of(processor)
    row = conversation(turns("what?", "red", pictures=1))
    first, second = (Encoder(it).encode(row) for it in (processor, saved.load()))
    assert torch.equal(first.response, second.response)
    assert all(torch.equal(first.inputs[key], second.inputs[key]) for key in first.inputs)
    again = SavedProcessor.of(saved.load())
    assert SavedProcessor.of(again.load()) == again


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_prefix_digests_cover_images_and_texts(architecture):
    encoder = Encoder(ARCHITECTURES[architecture]()[1])

    def encoded(question, picture, system="be brief"):
        talk = (Turn("system", (system,)), Turn("user", (None, question)), Turn("assistant", ("red",)))
        return encoder.encode(Conversation(talk, (RowImage(png(picture)),)))

    first = encoded("what?", 1)
    assert first.prefix > 0
    assert first.prefix_digest == encoded("which colour?", 1).prefix_digest
    assert first.prefix_digest != encoded("what?", 2).prefix_digest
    if architecture != "blip2":  # its picture comes before everything
        assert first.prefix_digest != encoded("what?", 1, "be long").prefix_digest
    text_only = encoder.encode(conversation(turns("what?", "red")))
    assert (text_only.prefix, text_only.prefix_digest) == (0, b"")


TOOLS = [{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {}}}]


@pytest.mark.parametrize("cell", [TOOLS, json.dumps(TOOLS), [json.dumps(tool) for tool in TOOLS]], ids=type)
def test_tools_go_to_the_template(tiny, cell):
    processor = AutoProcessor.from_pretrained(tiny("llava").folder)
    processor.chat_template = "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}" + VICUNA
    row = {"prompt": "what?", "completion": "red"}
    encoder, told = Encoder(processor), read_row({**row, "tools": cell})
    text, spans = encoder.template.render(told.turns, told.tools)
    assert text.startswith(json.dumps(TOOLS[0]))
    assert [text[slice(*span)] for span in spans] == ["red</s>"]
    assert encoder.encode(told).length > encoder.encode(read_row(row)).length


def test_ignored_tools_are_bad_rows(tiny):
    encoder = Encoder(AutoProcessor.from_pretrained(tiny("llava").folder))
    with pytest.raises(RowError, match="bad_row: the row has tools"):
        encoder.encode(read_row({"prompt": "what?", "completion": "red", "tools": TOOLS}))
