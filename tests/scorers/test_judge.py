"""JudgeScore: against `transformers serve`, and against a small server for all that can go wrong."""

import json
import logging
import pickle
import socket
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from datasets import Dataset, Features, Value
from datasets.fingerprint import Hasher
from judge_server import JudgeServer, Reply, rate
from pools import assistant, mixed_pool, pool, user
from tiny_judge import SHOUTING, USUAL, save_judge, served

import hf_vitselect.models.chat_endpoint
from hf_vitselect import JudgeScore, score
from hf_vitselect.errors import ModelError, StaleRunError
from hf_vitselect.scorers.judge import PROMPT, read_rating

POOL = mixed_pool(12)
OPENAI_TOO_LONG = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens."
TGI_TOO_LONG = "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096."


@pytest.fixture
def server():
    with JudgeServer() as server:
        yield server


@pytest.fixture
def pauses(monkeypatch):
    """The pauses between tries, which the tests don't sit out."""
    waited = []
    monkeypatch.setattr(hf_vitselect.models.chat_endpoint, "sleep", waited.append)
    return waited


def talk(*answers):
    return pool([([user("what?"), assistant(answer)], []) for answer in answers])


def judge(server, **options):
    return JudgeScore("tiny", base_url=server.url, **options)


# --- against transformers serve ---


@pytest.fixture(scope="module")
def transformers_serve(tmp_path_factory):
    folder = save_judge(tmp_path_factory.mktemp("judge"))
    with served(folder) as url:
        yield folder, url


@pytest.mark.parametrize("how", [{}, {"batched": True}, {"batched": True, "num_proc": 2}], ids=str)
def test_transformers_serve_rates_every_row(transformers_serve, how):
    model, url = transformers_serve
    rows = talk("red", "red!", "green", "no! no!", "a picture " * 200, "well")
    scored = rows.map(JudgeScore(model, base_url=url), **how)
    usual, shouting = float(USUAL), float(SHOUTING)
    assert scored["judge"][:] == [usual, shouting, usual, shouting, usual, usual]
    assert scored["judge_answer"][1] == SHOUTING
    assert set(scored["judge_status"]) == {"ok"}


def test_transformers_serve_rates_by_shards(transformers_serve, tmp_path):
    model, url = transformers_serve
    scored = score(talk(*"abcd!"), JudgeScore(model, base_url=url), tmp_path, shard_size=2)
    assert scored["judge"][:] == [float(USUAL)] * 4 + [float(SHOUTING)]


def test_unserved_names_are_errors(transformers_serve):
    # The server calls it a bad request, as it would a bad row.
    with pytest.raises(ModelError, match=r"refuses even a greeting.*other-judge"):
        talk("red").map(JudgeScore("other-judge", base_url=transformers_serve[1]))


# --- what is asked ---


def test_a_request_is_self_filter_s(server):
    talk("red").map(judge(server))
    (request,) = server.requests
    message = {"role": "user", "content": PROMPT.replace("{conversation}", "USER: what? ASSISTANT: red")}
    assert request.path == "/v1/chat/completions"
    assert request.body == {
        "model": "tiny",
        "messages": [message],
        "temperature": 0,
        "seed": 42,
        "max_tokens": 10,
        "stream": False,
    }


def test_custom_prompts_may_have_braces(server):
    talk('{"colour": "red"}').map(judge(server, prompt='{"rate": "{conversation}"}', seed=None))
    (request,) = server.requests
    assert request.text == '{"rate": "USER: what? ASSISTANT: {"colour": "red"}"}'
    assert "seed" not in request.body


def test_providers_get_the_hub_token(server, monkeypatch):
    from huggingface_hub.inference._providers import CONVERSATIONAL_AUTO_ROUTER

    monkeypatch.setattr(CONVERSATIONAL_AUTO_ROUTER, "base_url", server.url.removesuffix("/v1"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    scorer = JudgeScore("Qwen/Qwen3-8B")
    talk("red").map(scorer)
    (request,) = server.requests
    assert (request.authorization, request.body["model"]) == ("Bearer hf_secret", "Qwen/Qwen3-8B")
    assert scorer.recipe()["identity"] == {"model": "Qwen/Qwen3-8B", "endpoint": "huggingface/auto"}


def test_unanswered_rows_are_not_sent(server):
    rows = pool([([user("what?")], []), ([user("what?"), assistant(" ")], []), ([], [])])
    assert rows.map(judge(server), batched=True)["judge_status"][:] == ["no_response"] * 3
    assert server.requests == []


def test_pictures_are_not_looked_at(server):
    rows = pool([([user("what?", 1), assistant("red")], [b"broken"])])
    assert rows.map(judge(server))["judge_status"][:] == ["ok"]


def test_replies_keep_their_rows(server):
    last = threading.Event()

    def reply(text):
        answer = text.split("ASSISTANT: ")[1][0]
        if answer == "9":
            last.set()
        return Reply(answer, hold=last if answer == "0" else None)

    server.reply = reply
    assert talk(*"0123456789").map(judge(server, concurrency=3), batched=True)["judge"][:] == [*range(10)]
    assert "ASSISTANT: 0" in server.requests[-1].text or "ASSISTANT: 0" in server.requests[-2].text
    assert 2 <= server.most_at_once <= 3


# --- the rating in an answer ---

RATINGS = {
    "8": 8,
    "0": 0,
    "10": 10,
    "8.5": 8.5,
    " 7\n": 7,
    "8/10": 8,
    "8 / 10.": 8,
    "8 out of 10": 8,
    "Score: 8": 8,
    "score 8.": 8,
    "Rating = 6.25": 6.25,
    "Quality is 3": 3,
    "**8**": 8,
    "**Score:** 8/10": 8,
    "`9`": 9,
    '"4"': 4,
    "Score: 8\r\n\r\nThe answer is to": 8,
    "8\nbetween 5 and 8": 8,
    "": None,
    "good": None,
    "eight": None,
    "11": None,
    "100": None,
    "-3": None,
    "8,5": None,
    "8/5": None,
    "8/100": None,
    "8%": None,
    "between 5 and 8": None,
    "5-8": None,
    "5 or 8": None,
    "8 because it is short": None,
    "I would say 8": None,
    "I rate it:\n8": None,
    "nan": None,
    "1e1": None,
    "٨": None,
}


@pytest.mark.parametrize(("answer", "rating"), RATINGS.items())
def test_ratings_are_single_first_numbers(answer, rating):
    assert read_rating(answer) == rating


def test_unclear_replies_are_kept_and_counted(server, caplog):
    said = {"a": "8", "b": "between 5 and 8", "c": "11", "d": None}
    server.reply = lambda text: Reply(said[text.split("ASSISTANT: ")[1][0]])
    with caplog.at_level(logging.WARNING):
        scored = talk(*said).map(judge(server), batched=True)
    assert scored["judge"][:] == [8, None, None, None]
    assert scored["judge_answer"][:] == ["8", "between 5 and 8", "11", ""]
    assert scored["judge_status"][:] == ["ok", "bad_row", "bad_row", "bad_row"]
    assert "judge: 3 of 4 replies are not a rating from 0 to 10, the first: 'between 5 and 8'" in caplog.text
    unclear = scored.filter(
        lambda rating, answer: rating is None and answer is not None,
        input_columns=["judge", "judge_answer"],
    )
    assert len(unclear) == 3


# --- what can go wrong ---


def first(server, *replies):
    """Plays these replies, then rates."""
    script = iter(replies)
    server.reply = lambda text: next(script, None) or rate(text)


TROUBLES = {
    "429": Reply("slow down", 429),
    "500": Reply("oops", 500),
    "503 in HTML": Reply(status=503, body=b"<html>busy</html>", headers={"Content-Type": "text/html"}),
    "500 with a list": Reply(status=500, body=b"[1]"),
    "no JSON": Reply(body=b'{"choices": [{"mess'),
    "no text": Reply(body=b"\xff\xfe"),
    "no completion": Reply(body=b'{"error": {"message": "upstream"}}'),
    "no choices": Reply(body=b'{"choices": []}'),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_trouble_that_passes_is_tried_again(server, pauses, trouble, caplog):
    first(server, trouble, trouble)
    with caplog.at_level(logging.WARNING):
        scored = talk("red").map(judge(server))
    assert scored["judge_status"][:] == ["ok"]
    assert len(server.requests) == 3
    assert pauses == [1, 2]
    assert "tiny at http://127.0.0.1" in caplog.text


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_lasting_failures_say_how_to_resume(server, pauses, trouble):
    server.reply = lambda text: trouble
    with pytest.raises(ModelError, match=r"tiny at http://127.* in 3 tries.*output_dir.*resumes"):
        talk("red").map(judge(server, retries=2))
    assert len(server.requests) == 3


def test_errors_cross_processes(server):
    server.reply = lambda text: Reply("oops", 500)
    with pytest.raises(ModelError, match=r"HTTP 500: .*oops.*ASSISTANT: (red|green)"):
        talk("red", "green").map(judge(server, retries=0), batched=True, num_proc=2)


def test_pauses_grow_up_to_a_minute(server, pauses):
    server.reply = lambda text: Reply("oops", 502)
    with pytest.raises(ModelError, match=r"HTTP 502: .*oops"):
        talk("red").map(judge(server, retries=8))
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_retry_after_sets_the_pause(server, pauses):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True)
    first(server, *(Reply("wait", 429, {"Retry-After": said}) for said in ("7", date, "soon", "-3")))
    talk("red").map(judge(server))
    assert pauses[0] == 7
    assert 200 < pauses[1] <= 300
    assert pauses[2:] == [4, 8]


def test_missing_servers_are_errors(pauses, caplog):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ModelError, match=f"{url} gave no reply in 3 tries, the last: ConnectError"):
            talk("red", "green", "blue").map(JudgeScore("tiny", base_url=url, retries=2, concurrency=1))
    assert pauses == [1, 2]
    assert caplog.text.count("trying again in 1 s") == 1


def test_the_same_trouble_is_said_once(server, pauses, caplog):
    server.reply = lambda text: TROUBLES["500"]
    endpoint = judge(server, retries=1).loaded
    for _ in range(2):
        with pytest.raises(ModelError):
            endpoint.ask(["q"], concurrency=1)
    assert pauses == [1, 1]
    assert caplog.text.count("trying again in 1 s") == 1


def test_slow_servers_are_asked_again(server, pauses):
    never = threading.Event()
    first(server, Reply("8", hold=never))
    scored = talk("red").map(judge(server, timeout=0.5))
    never.set()
    assert scored["judge_status"][:] == ["ok"]
    assert pauses[0] == 1


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405])
def test_refusing_endpoints_fail_at_once(server, pauses, status):
    server.reply = lambda text: Reply("you may not", status)
    with pytest.raises(ModelError, match=rf"tiny at http://127.* answers HTTP {status}: .*you may not"):
        talk("red").map(judge(server))
    assert len(server.requests) == 1
    assert pauses == []


def test_refused_rows_fail_alone(server, caplog):
    refusals = {
        "a": Reply(OPENAI_TOO_LONG, 400),
        "b": Reply(TGI_TOO_LONG, 422),
        "c": Reply("body", 413),
        "d": Reply("the content filter", 400),
    }
    server.reply = lambda text: refusals.get(text.split("ASSISTANT: ")[-1][0]) or Reply("8")
    with caplog.at_level(logging.WARNING):
        scored = talk(*"abcde").map(judge(server), batched=True)
    assert scored["judge_status"][:] == ["too_long", "too_long", "too_long", "bad_row", "ok"]
    assert scored["judge"][:] == [None, None, None, None, 8]
    assert scored["judge_answer"][:] == [None, None, None, None, "8"]
    assert "judge: 4 of 5 replies are refusals by the endpoint" in caplog.text
    # The first row alone: whose fault it is shows with a greeting, once.
    again = talk(*"ab").map(judge(server))
    assert again["judge_status"][:] == ["too_long", "too_long"]
    assert server.answered()[1:] == ["Hello."]


def test_endpoints_refusing_all_are_errors(server):
    server.reply = lambda text: Reply("unknown parameter: seed", 400)
    with pytest.raises(ModelError, match=r"refuses even a greeting: bad_row: HTTP 400: .*unknown parameter"):
        talk("red", "green").map(judge(server), batched=True)


def test_offline_clients_fail_at_once(server, pauses, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="offline mode is enabled"):
        talk("red").map(judge(server))
    assert pauses == []


def test_missing_tokens_fail_at_once(pauses, monkeypatch):
    monkeypatch.setattr("huggingface_hub.inference._providers._common.get_token", lambda: None)
    with pytest.raises(ModelError, match=r"inference providers of the Hub.*api_key.*log in"):
        talk("red").map(JudgeScore("Qwen/Qwen3-8B"))
    assert pauses == []


# --- going on after a failure ---


def test_runs_resume_after_server_failures(server, pauses, tmp_path):
    down = threading.Event()
    server.reply = lambda text: (
        Reply("gone", 503) if down.is_set() or len(server.requests) >= 6 else rate(text)
    )
    with pytest.raises(ModelError, match="HTTP 503"):
        score(POOL, judge(server, concurrency=1), tmp_path, shard_size=4)
    in_time = server.answered()
    server.reply = rate
    # More patience and more threads are no other scorer.
    scored = score(POOL, judge(server, concurrency=4, retries=9, timeout=9), tmp_path, shard_size=4)
    times = Counter(server.answered())
    assert len(times) == len(POOL)
    # The finished shard of four is kept; the two answers of the broken one are asked for again.
    assert [times[text] for text in in_time] == [1, 1, 1, 1, 2, 2]
    assert times.total() == len(POOL) + 2
    assert scored["judge"][:] == POOL.map(judge(server), batched=True)["judge"][:]


def test_a_finished_run_asks_nothing_again(server, tmp_path):
    one = score(POOL, judge(server), tmp_path, shard_size=5)
    two = score(POOL, judge(server), tmp_path, shard_size=5)
    assert len(server.requests) == 12
    assert one["judge"][:] == two["judge"][:]


@pytest.mark.parametrize(
    "changed", [{"seed": 1}, {"max_tokens": 20}, {"prompt": "Rate {conversation}"}], ids=str
)
def test_another_question_is_another_run(server, tmp_path, changed):
    score(POOL, judge(server), tmp_path)
    with pytest.raises(StaleRunError):
        score(POOL, judge(server, **changed), tmp_path)
    assert Hasher.hash(judge(server, **changed)) != Hasher.hash(judge(server))


# --- keys and configuration ---


def test_keys_are_sent_never_kept(server, monkeypatch, tmp_path):
    monkeypatch.setenv("MY_KEY", "sk-secret")
    scorer = judge(server, api_key_env="MY_KEY")
    scored = score(talk("red"), scorer, tmp_path)
    assert server.requests[0].authorization == "Bearer sk-secret"
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    for kept in (pickle.dumps(scorer), json.dumps(scorer.recipe()).encode(), written):
        assert b"sk-secret" not in kept
    assert "sk-secret" not in scored.info.description
    before = Hasher.hash(scorer)
    monkeypatch.setenv("MY_KEY", "sk-other")
    assert Hasher.hash(scorer) == before


def test_unset_keys_are_errors(server, monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ModelError, match="in the environment variable MY_KEY"):
        talk("red").map(judge(server, api_key_env="MY_KEY"))


def test_other_servers_get_no_token(server, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    talk("red").map(judge(server))
    assert server.requests[0].authorization == "Bearer EMPTY"


def test_recipes_name_endpoint_and_prompt():
    recipe = JudgeScore("tiny", base_url="http://localhost:8000/v1", concurrency=3).recipe()
    assert recipe["identity"] == {"model": "tiny", "endpoint": "http://localhost:8000/v1"}
    assert recipe["prompt"] == PROMPT
    assert not recipe.keys() & {"concurrency", "retries", "timeout", "api_key_env"}
    assert JudgeScore("tiny", provider="groq").recipe()["identity"]["endpoint"] == "huggingface/groq"


WRONG = {
    "no address": ({"base_url": "localhost:8000"}, "such as http://localhost:8000/v1, got 'localhost:8000'"),
    "a key as user": ({"base_url": "http://me:sk-secret@host/v1"}, "api_key_env"),
    "a key in the query": ({"base_url": "http://host/v1?key=sk-secret"}, "api_key_env"),
    "a prompt without its row": ({"prompt": "Rate this."}, r"\{conversation\}"),
    "two endpoints": ({"base_url": "http://host/v1", "provider": "groq"}, "base_url or provider"),
    "negative timeout": ({"timeout": -1}, "timeout: expected seconds above 0, got -1"),
    "no time": ({"timeout": 0.0}, "timeout: expected seconds above 0, got 0.0"),
    "endless timeout": ({"timeout": float("inf")}, "timeout: expected seconds above 0, got inf"),
    "unclear timeout": ({"timeout": float("nan")}, "timeout: expected seconds above 0, got nan"),
    "timeout as text": ({"timeout": "60"}, "timeout: expected a number, got '60'"),
    "negative retries": ({"retries": -1}, "retries: expected 0 or more, got -1"),
    "no request": ({"concurrency": 0}, "concurrency: expected 1 or more, got 0"),
    "no reply": ({"max_tokens": 0}, "max_tokens: expected 1 or more, got 0"),
    "seed as text": ({"seed": "1"}, "seed: expected a whole number or None, got '1'"),
    "prompt of a number": ({"prompt": 3}, "prompt: expected a text, got 3"),
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_impossible_configurations_are_errors(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        JudgeScore("tiny", **options)
    assert "sk-secret" not in str(caught.value)


def test_columns_have_exact_types(server):
    scorer = JudgeScore("tiny", column="x")
    text = Value("string")
    types = {"x": Value("float32"), "x_answer": text, "x_status": text, "x_reason": text}
    assert scorer.features == Features(types)
    scored = talk("red").map(judge(server, column="x"))
    assert isinstance(scored, Dataset)
    assert scored.features == Features({**POOL.features, **types})
