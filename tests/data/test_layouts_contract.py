"""The contract of every layout: whatever a cell holds, its row is read or has a status, and nothing stops."""

import json

import pytest

from hf_vitselect import load_pool
from hf_vitselect.data.conversation import Conversation
from hf_vitselect.data.dataset_layout import find_layout
from hf_vitselect.data.layouts import LAYOUTS, TOOL_EXAMPLES
from hf_vitselect.data.rows import read_mapping, read_rows
from hf_vitselect.errors import STATUSES, LayoutError, RowError

EXAMPLES = {"+".join(layout.text_columns): dict(layout.example) for layout in LAYOUTS}
EXAMPLES |= {f"tools in {next(iter(example))}": dict(example) for example in TOOL_EXAMPLES}
IMAGES = {"images", "image"}
# Values that are wrong nearly everywhere: null, another type, another depth, nonsense.
WRONG = [None, 7, -1.5, True, "", "nonsense", "["]
WRONG += [[], [None], [[]], {}, {"odd": 1}, [{"odd": 1}], [3, "a"]]
ABSENT = object()


def changed(value, wrong):
    """Every value that differs from this one in an inner value, left out if `wrong` is ABSENT."""
    if isinstance(value, dict):
        for key, inner in value.items():
            others = {name: cell for name, cell in value.items() if name != key}
            yield f".{key}", others if wrong is ABSENT else value | {key: wrong}
            yield from ((f".{key}{where}", value | {key: new}) for where, new in changed(inner, wrong))
    if isinstance(value, list):
        for i, inner in enumerate(value):
            rest = [] if wrong is ABSENT else [wrong]
            yield f"[{i}]", [*value[:i], *rest, *value[i + 1 :]]
            yield from (
                (f"[{i}]{where}", [*value[:i], new, *value[i + 1 :]]) for where, new in changed(inner, wrong)
            )


def rows_with(example, wrong):
    """The example with each of its cells, and each value inside them, wrong: none has another column."""
    return {
        f"{where} = {wrong!r}": row for where, row in changed(example, wrong) if row.keys() == example.keys()
    }


def read(row):
    (found,), batched = read_mapping(row)
    assert not batched
    return found


@pytest.mark.parametrize("wrong", [*WRONG, ABSENT], ids=lambda it: "absent" if it is ABSENT else repr(it))
@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_wrong_values_have_a_status(example, wrong):
    good = read(example)
    assert isinstance(good, Conversation)
    for where, row in rows_with(example, wrong).items():
        (beside, found), _ = read_mapping({name: [example[name], row[name]] for name in example})
        assert beside == good
        if isinstance(found, RowError):
            assert found.status in STATUSES, where
            assert found.message, where
        elif not where.startswith(tuple(f".{name}" for name in IMAGES)) and ".type" not in where:
            assert found != good, f"{where} is not read"


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "+".join(layout.text_columns))
def test_null_and_missing_columns_are_named(layout):
    for name in set(layout.text_columns) - {"choices", "options"}:  # Without these it is an open question.
        others = {column: cell for column, cell in layout.example.items() if column not in ("input", name)}
        found = read({**others, name: None})
        assert isinstance(found, RowError)
        assert (found.status, name in found.message or "NoneType" in found.message) == ("bad_row", True)
        with pytest.raises(LayoutError, match="got the columns"):
            find_layout(list(others))


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_extra_columns_change_nothing(example):
    extra = {"id": 7, "source": None, "score": 0.5, "meta": {"history": []}, "caption_model": "x"}
    assert read(example | extra) == read(example)


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_files_of_wrong_rows_are_read(example, tmp_path):
    wrong = [row for value in WRONG for row in rows_with(example, value).values()]
    lines = [example, *wrong, example]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    first, *found, last = [
        (row.turns, row.tools) if isinstance(row, Conversation) else row
        for row in read_rows(load_pool(tmp_path / "pool.jsonl"))
    ]
    good = read(example)
    assert first == last == (good.turns, good.tools)
    assert len(found) == len(wrong)
