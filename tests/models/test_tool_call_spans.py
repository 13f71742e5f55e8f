"""Tool calls are shown to the model as the row has them and supervised, or the row is refused."""

import json

import pytest
from prompts import bytewise_llava, conversation, masked_text
from tiny import VICUNA

from hf_vitselect.data.conversation import Conversation, ToolCall, Turn
from hf_vitselect.errors import RowError

PARTS = (
    "{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}"
    "{% if p.type == 'image' %}<image>{% else %}{{ p.text }}{% endif %}{% endfor %}{% endif %}"
)


def template(calls, start="<|im_start|>{{ m.role }}\n", end="<|im_end|>\n"):
    """A template whose messages write their contents, then their calls."""
    return "{% for m in messages %}" + start + PARTS + calls + end + "{% endfor %}"


def of_each(call):
    return "{% for c in m.tool_calls or [] %}" + call + "{% endfor %}"


TAGGED = of_each(
    '<call>\n{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n</call>'
)
# As Mistral has it: an answer's text begins with a space, its calls do not, and a result must follow a call.
SPACED = (
    "{% for m in messages %}{% if m.role == 'tool' and not messages[loop.index0 - 1].tool_calls %}"
    "{{ raise_exception('a result without a call') }}{% endif %}"
    "{% if m.tool_calls %}[CALLS]{% for c in m.tool_calls %}{{ c.function | tojson }}{% endfor %}"
    "{% else %} " + PARTS + "{% endif %}</s>{% endfor %}"
)
# As Qwen3 has it: a block of thinking in the last answer alone.
THINKING = template(TAGGED).replace(
    "{{ m.role }}\n",
    "{{ m.role }}\n{% if loop.last and m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}",
)
# As Gemma 4 has it: results stand next to their calls, and nowhere else.
RESULT = "<result>{{ messages[loop.index0 + 1].content[0].text }}</result>"
NESTED = (
    "{% for m in messages %}{% if m.role != 'tool' %}<|im_start|>{{ m.role }}\n" + PARTS + TAGGED
    + "{% if m.tool_calls and not loop.last %}" + RESULT
    + "{% else %}<|im_end|>{% endif %}{% endif %}{% endfor %}"
)  # fmt: skip
ZOOM = ToolCall("zoom", '{"times": 2, "where": {"x": [0.5, true]}, "näme": "rote Farbe"}', "call_123")
STOP = ToolCall("stop", "{}")
ARGUMENTS = f'"arguments": {ZOOM.arguments}'
SHOWN = {
    "tagged": (template(TAGGED), "<call>\n{}\n</call><|im_end|>", "<|im_end|>"),
    "thinking": (THINKING, "<call>\n{}\n</call><|im_end|>", "<|im_end|>"),
    "spaced": (SPACED, "[CALLS]{}</s>", "</s>"),
    "nested": (NESTED, "<call>\n{}\n</call><|im_end|>", "<|im_end|>"),
    "no end of its own": (template(TAGGED, end="\n"), "<call>\n{}\n</call></s>", "</s>"),
}
ASKED, GIVEN, RED = Turn("user", (None, "what?")), Turn("tool", ("a dot",)), Turn("assistant", ("red",))


@pytest.mark.parametrize(("chat", "called", "end"), SHOWN.values(), ids=SHOWN)
def test_calls_are_shown_and_supervised(chat, called, end, monkeypatch):
    encoder = bytewise_llava(chat, monkeypatch)
    call = called.replace("{}", f'{{"name": "zoom", {ARGUMENTS}}}')
    talk = [ASKED, Turn("assistant", (), (ZOOM,)), GIVEN, RED]
    assert masked_text(encoder, conversation(talk)) == f"{call}red{end}"
    assert masked_text(encoder, conversation(talk[:2])) == call


def test_texts_before_calls_are_supervised(monkeypatch):
    encoder = bytewise_llava(template(TAGGED), monkeypatch)
    talk = [ASKED, Turn("assistant", ("Let me look.",), (ZOOM, STOP)), GIVEN, RED, ASKED, RED]
    supervised = masked_text(encoder, conversation(talk))
    assert supervised.startswith('Let me look.<call>\n{"name": "zoom"')
    assert '<call>\n{"name": "stop", "arguments": {}}\n</call><|im_end|>red<|im_end|>red' in supervised


def test_ids_and_names_reach_templates(monkeypatch):
    chat = template(of_each("<{{ c.id }} {{ c.function.name }}>") + "{{ m.tool_call_id }}{{ m.name }}")
    encoder = bytewise_llava(chat.replace("{% for m", "{% set _ = 1 %}{% for m"), monkeypatch)
    talk = [
        ASKED,
        Turn("assistant", (), (ToolCall("stop", "{}", "7"),)),
        Turn("tool", ("ok",), (), "7", "stop"),
    ]
    text, _ = encoder.template.render(talk)
    assert "<7 stop>" in text
    assert "ok7stop" in text


DROPPING = {
    "no calls": template(""),
    "the name alone": template(of_each("{{ c.function.name }}")),
    "the first call alone": template(TAGGED.replace("m.tool_calls or []", "(m.tool_calls or [])[:1]")),
    "no values": template(of_each("{{ c.function.name }}{{ c.function.arguments.keys() | list | tojson }}")),
    "no text next to calls": template(TAGGED).replace(
        PARTS, "{% if not m.tool_calls %}" + PARTS + "{% endif %}"
    ),
    "a refusal": template("{% if m.tool_calls %}{{ raise_exception('no tools') }}{% endif %}"),
    "another frame": template(TAGGED, end="{{ '<|eom|>' if m.tool_calls else '<|im_end|>\n' }}"),
    "vicuna": VICUNA,
}


@pytest.mark.parametrize("chat", DROPPING.values(), ids=DROPPING)
def test_unfaithful_templates_are_refused(chat, monkeypatch):
    talk = [ASKED, Turn("assistant", ("Let me look.",), (ZOOM, STOP)), GIVEN, RED]
    with pytest.raises(RowError, match=r"bad_row: .*template") as refused:
        bytewise_llava(chat, monkeypatch).encode(conversation(talk))
    assert refused.value.status == "bad_row"


def test_calls_alone_are_a_response(monkeypatch):
    encoder = bytewise_llava(template(TAGGED), monkeypatch)
    row = Conversation((Turn("user", ("what?",)), Turn("assistant", (), (STOP,))), (), json.dumps([{"a": 1}]))
    with pytest.raises(RowError, match="has tools, and the chat template takes none"):
        encoder.encode(row)
    spelled = ToolCall("stop", '{"text": "<|im_end|>"}')
    with pytest.raises(RowError, match=r"control_tokens: .*assistant turn"):
        encoder.encode(conversation([ASKED, Turn("assistant", (), (spelled,))]))
