"""Merge this package's text and metadata into a card that may already exist."""

from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import DatasetCard

from hf_vitselect.report.markdown import BEGIN, END

_OURS = ("size_categories", "vitselect")


def merge_card(existing: str, body: str, data: Mapping[str, Any]) -> str:
    """Merge a body and metadata into a card.

    Args:
        existing: the whole README; may be empty.
        body: with the marks, as `dataset_card` and `model_section` return it.
        data: as `card_data` returns it.

    Returns:
        The whole README. The text between the marks is replaced, or appended to a text without marks; the
        title before the marks is used only in an empty README. In the metadata, our sizes and our
        `vitselect` block replace older ones, lists are united, and other keys keep their values, such as a
        license set by hand.
    """
    card = read_card(existing)
    card.text = merge_section(card.text, body)
    for name, value in data.items():
        old = card.data.get(name)
        if name in _OURS or old is None:
            card.data[name] = value
        elif isinstance(value, list):
            card.data[name] = list(dict.fromkeys([*([old] if isinstance(old, str) else old), *value]))
    return str(card.content)


def mark_unfinished(existing: str, body: str, *, without: Sequence[str] = ()) -> str:
    """Mark a README as incomplete while its data changes, and remove the configs in `without`."""
    card = read_card(existing)
    card.text = merge_section(card.text, body)
    card.data["vitselect"] = {"complete": False}
    for name in ("configs", "dataset_info"):
        entries = card.data.get(name) or []
        entries = entries if isinstance(entries, list) else [entries]
        kept = [entry for entry in entries if entry.get("config_name", "default") not in without]
        if len(kept) < len(entries):
            card.data[name] = kept or None
    return str(card.content)


def read_card(readme: str) -> DatasetCard:
    """A README as a card, even without metadata."""
    has_metadata = readme.lstrip().startswith("---")
    return DatasetCard(readme if has_metadata else f"---\n{{}}\n---\n{readme}")


def merge_section(text: str, section: str) -> str:
    """Put the marked section into a text: in place of an older one, or at the end."""
    new = section[section.index(BEGIN) : section.index(END) + len(END)]
    end = text.find(END)
    start = text.rfind(BEGIN, 0, end) if end >= 0 else -1
    if start >= 0:
        return text[:start] + new + text[end + len(END) :]
    if not text.strip():
        return f"\n{section.strip()}\n"
    return f"{text.rstrip()}\n\n{new}\n"
