"""A push that is interrupted at any request: nothing half-made looks finished, and a second call ends it."""

import itertools
import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from datasets import Value
from hub_server import HubServer, run_client
from huggingface_hub import DatasetCard
from pools import mixed_pool

from hf_vitselect.report.markdown import END
from hf_vitselect.rules import TopScore
from hf_vitselect.selection.select_diverse import select_diverse

pytestmark = pytest.mark.slow

REQUESTS = 80  # more than a push makes
EVERY = int(os.environ.get("HUB_TEST_EVERY", "7"))
"""Which requests are interrupted; 1 is all of them, and takes minutes."""

KINDS = {"cut": 0, "429": 429, "500": 500, "503": 503, "412": 412, "lost": -1, "dead": 0, "down": 503}
"""What happens at a request; with the last two at all that follow as well, until the client gives up."""


class Saboteur:
    """Interrupts the push into ``tester/<kind>-<request>`` at that request, until the client reports it done.

    Attributes:
        states: for every repository, whether it looked finished when the first call had returned.
        reached: the repositories whose push came as far as the request to be interrupted.
    """

    def __init__(self, hub: HubServer) -> None:
        self.hub, self.current, self.count = hub, "", 0
        self.states: dict[str, bool] = {}
        self.reached: set[str] = set()

    def __call__(self, method: str, path: str) -> int | None:
        if note := re.fullmatch("/(begin|end)/(.+)", path):
            self.current, self.count = note[2] if note[1] == "begin" else "", 0
            if note[1] == "end":
                self.states[note[2]] = looks_finished(self.hub, f"tester/{note[2]}")
            return 404
        if not self.current:
            return None
        kind, at = self.current.split("-")
        now, self.count = self.count == int(at), self.count + 1
        if now:
            self.reached.add(self.current)
        return KINDS[kind] if now or (kind in ("dead", "down") and self.current in self.reached) else None


def looks_finished(hub: HubServer, repo_id: str) -> bool:
    """Whether a reader of the card on main would take the repository for whole."""
    try:
        card = DatasetCard(hub.read(hub.commit("datasets", repo_id)["files"]["README.md"]).decode())
    except (KeyError, ValueError):
        return False
    except Exception:  # of the server: no such repository
        return False
    marked = card.data.get("vitselect", {}).get("complete") is True
    assert marked == (END in card.text and "is incomplete" not in card.text)
    return marked


def push_through_failures() -> dict[str, Any]:
    import os
    import time
    import urllib.error
    import urllib.request
    from collections.abc import Callable
    from contextlib import suppress
    from pathlib import Path

    from datasets import Dataset, disable_progress_bars

    from hf_vitselect import Selection, apply_selection, push_to_hub
    from hf_vitselect.errors import HubError

    disable_progress_bars()
    time.sleep = lambda seconds: None
    home = Path(os.environ["HF_HOME"])
    pool = Dataset.load_from_disk(home / "pool")

    def error_of(call: Callable[..., Any], *args: Any, **options: Any) -> str:
        try:
            call(*args, **options)
        except HubError as error:
            return str(error)
        return ""

    def note(what: str, name: str) -> None:
        with suppress(urllib.error.HTTPError):
            urllib.request.urlopen(f"{os.environ['HF_ENDPOINT']}/{what}/{name}")

    seen: dict[str, Any] = {}
    for name in (home / "cases").read_text().split():
        # The first push of every other case goes over a whole repository.
        if int(name.split("-")[1]) % 2:
            push_to_hub(Selection.load_from_disk(home / "other"), f"tester/{name}", plots={})
        selection = Selection.load_from_disk(home / "selection")
        note("begin", name)
        first = error_of(push_to_hub, selection, f"tester/{name}", plots={})
        note("end", name)
        half = error_of(apply_selection, pool, f"tester/{name}")
        second = error_of(push_to_hub, selection, f"tester/{name}", plots={})
        try:
            rebuilt = apply_selection(pool, f"tester/{name}").indices.tolist() == selection.indices.tolist()
        except HubError as error:
            rebuilt = str(error)
        seen[name] = {"first": first, "half": half, "second": second, "rebuilt": rebuilt}
    return seen


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], Saboteur]]:
    home = tmp_path_factory.mktemp("home")
    pool = mixed_pool(8).add_column("necessity", [float(i) for i in range(8)], feature=Value("float32"))
    pool.save_to_disk(str(home / "pool"))
    select_diverse(pool, 4, rule=TopScore()).save_to_disk(home / "selection")
    select_diverse(pool, 3, rule=TopScore(lowest=True)).save_to_disk(home / "other")
    kinds = itertools.cycle(KINDS)
    names = [f"{next(kinds)}-{at}" for at in range(0, REQUESTS, EVERY)]
    (home / "cases").write_text(" ".join(names))
    with HubServer(tmp_path_factory.mktemp("hub")) as hub:
        hub.fail = saboteur = Saboteur(hub)
        yield run_client(push_through_failures, hub.url, home, timeout=900), saboteur


def test_every_request_was_interrupted(outcome: tuple[dict[str, Any], Saboteur]) -> None:
    seen, saboteur = outcome
    assert len(saboteur.reached) > 50 // EVERY
    assert len(saboteur.reached) < len(seen)
    assert any(each["first"] for each in seen.values())


def test_interrupted_push_looks_unfinished(outcome: tuple[dict[str, Any], Saboteur]) -> None:
    seen, saboteur = outcome
    for name, each in seen.items():
        # A lost answer to the last commit leaves a repository that is whole, although the call failed.
        assert saboteur.states[name] == (each["half"] == ""), (name, each)
        assert saboteur.states[name] or each["first"], (name, each)


def test_the_second_call_completes_it(outcome: tuple[dict[str, Any], Saboteur]) -> None:
    for name, each in outcome[0].items():
        assert (each["second"], each["rebuilt"]) == ("", True), (name, each)


def test_errors_advise_and_hide_token(outcome: tuple[dict[str, Any], Saboteur]) -> None:
    for each in outcome[0].values():
        assert not each["first"] or "tester/" in each["first"]
    assert "hf_test" not in json.dumps(outcome[0])
