"""Processors: loaded, saved as bytes, and refused where they cannot serve a model."""

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoProcessor
from transformers.utils import cached_file

from hf_vitselect.errors import ModelError, RowError
from hf_vitselect.models.revisions import adapter_base
from hf_vitselect.models.weights import load_errors

_FILES = ("processor_config.json", "preprocessor_config.json")
_HOW_LOADED = ("is_local", "local_files_only")
"""What a tokenizer writes besides what it is."""

_SETTINGS = (
    "patch_size",
    "vision_feature_select_strategy",
    "num_additional_image_tokens",
    "image_seq_len",
    "num_query_tokens",
)
"""What processors need to place an image, and old checkpoints left to the model's configuration."""


@dataclass(frozen=True)
class SavedProcessor:
    """A processor as its class and files, which can be pickled and hashes the same in every process."""

    kind: type
    files: tuple[tuple[str, bytes], ...]

    @classmethod
    def of(cls, processor: Any) -> "SavedProcessor":
        """Save a processor."""
        with tempfile.TemporaryDirectory() as folder:
            processor.save_pretrained(folder)
            paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
            files = tuple((path.relative_to(folder).as_posix(), _content(path)) for path in paths)
        return cls(type(processor), files)

    def load(self) -> Any:
        """Load the processor."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in self.files:
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            return self.kind.from_pretrained(folder)  # type: ignore[attr-defined]

    def recipe(self) -> dict[str, str]:
        """Class and sha256 of the files, as plain JSON."""
        digest = hashlib.sha256(repr(self.files).encode()).hexdigest()
        return {"class": self.kind.__name__, "digest": digest}


def _content(path: Path) -> bytes:
    """A file's bytes, of a tokenizer's config without how it was loaded."""
    if path.name != "tokenizer_config.json":
        return path.read_bytes()
    config = json.loads(path.read_bytes())
    kept = {name: value for name, value in config.items() if name not in _HOW_LOADED}
    return json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False).encode()


def load_processor(
    model: str,
    *,
    revision: str | None = None,
    base_revision: str | None = None,
    trust_remote_code: bool = False,
) -> Any:
    """Load a model's processor, or the base model's for an adapter saved without one."""
    with load_errors(model, what="a model with its processor"):
        base = adapter_base(model, revision)
        if base is not None and not any(_has_file(model, file, revision) for file in _FILES):
            model, revision = base[0], base_revision or base[1]
        return AutoProcessor.from_pretrained(model, revision=revision, trust_remote_code=trust_remote_code)


def refuse_unusable(processor: Any) -> None:
    """Refuse a processor that cannot show responses; give it its tokenizer's template if it has none."""
    tokenizer = getattr(processor, "tokenizer", processor)
    if getattr(processor, "chat_template", None) is None:
        if getattr(tokenizer, "chat_template", None) is None:
            raise ModelError(
                f"expected a processor with a chat template, got {type(processor).__name__} without one; "
                "set processor.chat_template and save the processor in the model's folder"
            )
        processor.chat_template = tokenizer.chat_template
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"expected a fast tokenizer (it gives character offsets), got {type(tokenizer).__name__}"
        )
    # InstructBLIP's Q-Former reads the whole text, so losses of the answer would be too low.
    if others := [name for name in processor.model_input_names if name.endswith("_input_ids")]:
        raise ModelError(
            "expected a processor that gives the text to the language model alone, got "
            f"{type(processor).__name__} with {others}, where the model would read the answer before it "
            "writes it; use a model without them, such as BLIP-2 instead of InstructBLIP"
        )


def refuse_failed_probe(processor: Any, error: RowError, model: Any = None) -> None:
    """Refuse a processor, or its model, that failed on one of `Encoder.probes`."""
    # The limit is to blame for the first; a template that writes no images still serves texts.
    if error.status in ("too_long", "placeholder_mismatch"):
        return
    kind, why = type(processor).__name__, str(error).removeprefix(f"{error.status}: ")
    lacking = [name for name in _SETTINGS if getattr(processor, name, "") is None]
    if not lacking:
        raise ModelError(
            f"expected a processor that fits the model, got {kind}: {why}; "
            "give the right one as processor= (--processor_name_or_path)"
        ) from error
    config = getattr(model, "config", None)
    known = {name: getattr(config, name, None) for name in lacking}
    known["patch_size"] = getattr(getattr(config, "vision_config", None), "patch_size", None)
    lines = ", ".join(f"processor.{name} = {known[name] or ...!r}" for name in lacking)
    raise ModelError(
        f"expected a processor that can place images, got {kind} without {', '.join(lacking)}: {why}; "
        f"set {lines}, save it, and give it as processor= (--processor_name_or_path)"
    ) from error


def _has_file(model: str, file: str, revision: str | None) -> bool:
    errors = ("missing_entries", "connection_errors")
    quiet: dict[str, Any] = {f"_raise_exceptions_for_{kind}": False for kind in errors}
    return cached_file(model, file, revision=revision, **quiet) is not None
