"""CapabilityScorer against a real server, and what MMSSR makes of its columns."""

import base64
import json

import pytest
from judge_server import JudgeServer, Reply
from pools import assistant, png, pool, stripes, user

from hf_vitselect import CapabilityScorer, select_diverse
from hf_vitselect.data.images import RowImage
from hf_vitselect.rules import MMSSR
from hf_vitselect.rules.mmssr import CAPABILITIES
from hf_vitselect.scorers.capability import read_capabilities

ANSWER = {name: i % 6 for i, name in enumerate(CAPABILITIES)} | {"style": "yes/no"}
ROWS = pool(
    [
        ([user("is it red?", 1), assistant("yes")], [png(1)]),
        ([user("is it blue?"), assistant("no")], []),
        ([user("broken?", 1), assistant("no")], [b"no picture"]),
        ([user("unclear?"), assistant("no")], []),
    ]
)


def reply(content):
    text = content[-1]["text"]
    if "unclear" in text:
        return Reply("I cannot say.")
    return Reply(f"Here you are: {json.dumps(ANSWER | {'ocr': 5 if 'blue' in text else 0})}")


@pytest.fixture(scope="module")
def scored():
    with JudgeServer() as server:
        server.reply = reply
        result = ROWS.map(CapabilityScorer("a model", base_url=server.url), batched=True)
        yield result, server.requests


def test_numbers_style_and_status(scored):
    rows, _ = scored
    assert rows["capability_status"][:] == ["ok", "ok", "image_error", "bad_row"]
    assert rows["capability_ocr"][:] == [0.0, 5.0, None, None]
    assert rows["capability_attribute"][:2] == [1.0, 1.0]
    assert rows["capability_style"][:] == ["yes/no", "yes/no", None, None]
    assert rows["capability_answer"][3] == "I cannot say."
    mean = sum(ANSWER[name] for name in CAPABILITIES if name != "ocr") / 14
    assert rows["capability"][0] == pytest.approx(mean, rel=1e-6)


def test_the_model_sees_the_picture(scored):
    _, requests = scored
    seen = [request.text for request in requests if "red" in request.text[-1]["text"]]
    kind, data = seen[0][0]["image_url"]["url"].split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data) == png(1)


def test_the_model_sees_a_decoded_picture():
    row = {"prompt": "is it red?", "completion": "yes", "image": stripes(9, 5)}
    with JudgeServer() as server:
        server.reply = reply
        cells = CapabilityScorer("a model", base_url=server.url)(row)
        (request,) = server.requests
    assert cells["capability_status"] == "ok"
    kind, data = request.text[0]["image_url"]["url"].split(",")
    assert kind == "data:image/png;base64"
    assert RowImage(data=base64.b64decode(data)).decode().tobytes() == stripes(9, 5).tobytes()


def test_mmssr_samples_by_the_columns(scored):
    rows, _ = scored
    selection = select_diverse(rows, 1, by="capability", rule=MMSSR(capabilities=("capability_ocr",)))
    assert selection.indices.tolist() == [1]


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "{}",
        json.dumps(ANSWER | {"ocr": 6}),
        json.dumps(ANSWER | {"style": "poem"}),
        json.dumps(ANSWER | {"ocr": "high"}),
        "{" * 5,
    ],
)
def test_other_answers_are_no_capabilities(answer):
    assert read_capabilities(answer) is None
