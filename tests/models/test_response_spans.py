"""Answers are found as the template renders them, thinking included; left-out texts are refused."""

import pytest
from prompts import bytewise_llava, conversation, llava_processor, masked_text, turns
from tiny import VICUNA

from hf_vitselect.data.conversation import Turn
from hf_vitselect.errors import RowError
from hf_vitselect.models.encoding import Encoder
from hf_vitselect.models.response_spans import answer_spans

# As Qwen3 has it: the thinking of all turns but the last goes, and the last has a block even without any.
QWEN = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% set ns = namespace(text='', thought='') %}"
    "{% for p in m['content'] %}{% if p['type'] == 'image' %}<image>{% else %}"
    "{% set ns.text = ns.text + p['text'] %}{% endif %}{% endfor %}{% if m['role'] == 'assistant' %}"
    "{% if '</think>' in ns.text %}"
    "{% set ns.thought = ns.text.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}"
    "{% set ns.text = ns.text.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{% if loop.last %}{{ '<think>\n' + ns.thought.strip('\n') + '\n</think>\n\n' + ns.text.lstrip('\n') }}"
    "{% else %}{{ ns.text }}{% endif %}{% else %}{{ ns.text }}{% endif %}<|im_end|>\n{% endfor %}"
)
DROPS = VICUNA.replace("{{ p['text'] }}", "{{ p['text'].split('</think>')[-1] | trim }}")
WRAPS = VICUNA.replace("{{ p['text'] }}", "{{ p['text'] | replace('<think>', '<think>\n') }}")
THINKING = {
    "qwen, the last": (QWEN, ["<think>it is</think>Red"], "<think>\nit is\n</think>\n\nRed<|im_end|>"),
    "qwen, as it is rendered": (
        QWEN,
        ["<think>\nit is\n</think>\n\nRed"],
        "<think>\nit is\n</think>\n\nRed<|im_end|>",
    ),
    "qwen, several": (
        QWEN,
        ["<think>a</think>\n\nRed", "Blue", "<think>b\nc</think>Green "],
        "Red<|im_end|>Blue<|im_end|><think>\nb\nc\n</think>\n\nGreen <|im_end|>",
    ),
    "qwen, an empty block of its own": (QWEN, ["Red"], "Red<|im_end|>"),
    "qwen, empty thinking": (QWEN, ["<think>\n\n</think>\n\nRed"], "<think>\n\n</think>\n\nRed<|im_end|>"),
    "qwen, no opening tag": (QWEN, ["it is</think>Red"], "it is\n</think>\n\nRed<|im_end|>"),
    "dropped": (DROPS, ["<think>a</think> Red", "<think>b</think>Blue"], "Red</s>Blue</s>"),
    "kept": (VICUNA, ["<think>a</think> Red"], "<think>a</think> Red</s>"),
    "changed": (WRAPS, ["<think>a</think> Red"], "<think>\na</think> Red</s>"),
    "of another kind": (DROPS.replace("/think", "/thought"), ["<thought>a</thought>Red"], "Red</s>"),
}


@pytest.mark.parametrize(("template", "answers", "supervised"), THINKING.values(), ids=THINKING)
def test_thinking_is_read_as_rendered(template, answers, supervised, monkeypatch):
    talk = turns(*(text for answer in answers for text in ("what?", answer)), pictures=1)
    assert masked_text(bytewise_llava(template, monkeypatch), conversation(talk)) == supervised


ASKS = "{% if m.role == 'user' %}USER: {% for p in m.content %}{{ p.text }}{% endfor %} {% endif %}"
SAYS = "{% if m.role == 'assistant' %}ASSISTANT: {{ m.content[0].text }}</s>{% endif %}"
FIRST = "{% if m.role != 'assistant' %}{{ m.role | upper }}: {{ m.content[0].text }} {% endif %}"
LAST = "{% if m.role == 'user' and loop.last %}{{ messages[0].content[0].text }}{% endif %}"
LEFT_OUT = {
    "no system turns": (ASKS, [Turn("system", ("be brief",))], "system"),
    "no tool turns": (ASKS, [Turn("tool", ("42",))], "tool"),
    "a system turn for questions alone": (LAST + ASKS, [Turn("system", ("be brief",))], "system"),
    "the first part alone": (FIRST, [Turn("user", ("what?", " now "))], "user"),
}


@pytest.mark.parametrize(("template", "more", "role"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_dropped_texts_are_errors(template, more, role):
    encoder = Encoder(llava_processor("{% for m in messages %}" + template + SAYS + "{% endfor %}"))
    with pytest.raises(RowError, match=f"bad_row: .*leaves out a text of a {role} turn"):
        encoder.template.render([*more, *turns("what?", "red")])
    encoder.template.render(turns("what? \n", "red"))


def test_cut_answers_are_refused():
    def cut(talk):
        return "".join(turn.text.split("</think>")[-1][:2] for turn in talk)

    with pytest.raises(RowError, match="bad_row"):
        answer_spans((Turn("assistant", ("<think>a</think>Red",)),), cut)
