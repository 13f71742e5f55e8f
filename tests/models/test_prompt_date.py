"""Prompts do not change with the clock."""

from datetime import datetime

import pytest
from pools import mixed_pool
from prompts import llava_processor, turns
from tiny import VICUNA, tokenizer
from transformers.utils.chat_template_utils import render_jinja_template

from hf_vitselect import NecessityScorer
from hf_vitselect.models.encoding import Encoder
from hf_vitselect.models.prompt_date import _CODES, PROMPT_DATE, without_clock

LLAMA = (
    "{%- if not date_string is defined %}{%- if strftime_now is defined %}"
    '{%- set date_string = strftime_now("%d %b %Y") %}{%- else %}{%- set date_string = "26 Jul 2024" %}'
    "{%- endif %}{%- endif %}Today Date: {{ date_string }}\n"
)
CLOCKS = {
    "llama": (LLAMA, "Today Date: 26 Jul 2024"),
    "seconds": ("{{ strftime_now('%H:%M:%S') }} ", "00:00:00 "),
    "white space before it": ("\n  {{ strftime_now('%A, %-d %B') }}\n", "\n  Friday, 26 July"),
    "in a macro": ("{% macro day() %}{{ strftime_now('%Y-%m-%d') }}{% endmacro %}{{ day() }}", "2024-07-26"),
    "no clock": ("\n\nhello ", "\n\nhello "),
}


def rendered(template):
    return render_jinja_template([[{"role": "user", "content": "q"}]], chat_template=template)[0][0]


@pytest.mark.parametrize(("template", "text"), CLOCKS.values(), ids=CLOCKS)
def test_the_date_is_fixed(template, text):
    assert rendered(without_clock(template)) == text


@pytest.mark.parametrize("code", _CODES)
def test_every_code_gives_that_day(code):
    day = datetime.fromisoformat(PROMPT_DATE)
    template = f"[{{{{ strftime_now('{code}') }}}}]"
    assert rendered(without_clock(template)) == f"[{day.strftime(code)}]"


def test_scorers_record_the_prompt_date(tiny, monkeypatch):
    processor = llava_processor(LLAMA + VICUNA)
    text, _ = Encoder(processor).template.render(turns("what?", "red"))
    assert text.startswith("Today Date: 26 Jul 2024\n")
    assert NecessityScorer(tiny("llava").folder).recipe()["prompt_date"] == PROMPT_DATE == "2024-07-26"


def test_scores_ignore_the_clock(tiny):
    processor = llava_processor("{{ strftime_now('%f') }}" + VICUNA, tokenizer("<image>"))
    model, rows = tiny("llava").folder, mixed_pool(2)
    one, two = (
        rows.map(NecessityScorer(model, processor=processor), batched=True, load_from_cache_file=False)[
            "necessity"
        ][:]
        for _ in range(2)
    )
    assert one == two
