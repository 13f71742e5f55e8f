"""Conversations, templates and processors for tests of prompts."""

import itertools

import tiny as tiny_models
from pools import png

from hf_vitselect.data.conversation import Conversation, Turn
from hf_vitselect.data.images import RowImage
from hf_vitselect.models.encoding import Encoder

LLAVA_HF = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}"
    "{% endif %}{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}{% endfor %}{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ content['text'] + ' '}}{% endfor %}{% else %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}{{ content['text'] + ' '}}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}"
)


def turns(*texts, pictures=0):
    """Questions and answers in turn; the pictures stand before the first question."""
    roles = itertools.cycle(["user", "assistant"])
    made = [Turn(role, (text,)) for role, text in zip(roles, texts, strict=False)]
    return (Turn("user", (None,) * pictures + made[0].parts), *made[1:])


def conversation(talk):
    slots = sum(turn.parts.count(None) for turn in talk)
    return Conversation(tuple(talk), tuple(RowImage(data=png(i)) for i in range(slots)))


def masked_text(encoder, row):
    encoded = encoder.encode(row)
    ids = encoded.inputs["input_ids"][encoded.response]
    assert not set(ids.tolist()) & encoder._image_ids
    return encoder.tokenizer.decode(ids, clean_up_tokenization_spaces=False)


def llava_processor(template, words=None):
    words = words or tiny_models.tokenizer("<image>", "<|im_start|>", "<|im_end|>")
    return tiny_models.llava_processor(words, template)


def bytewise_llava(template, monkeypatch, end_of_turn="auto"):
    monkeypatch.setattr(tiny_models, "CORPUS", [])
    return Encoder(llava_processor(template), end_of_turn=end_of_turn)
