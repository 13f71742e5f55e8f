"""Load models whole: a missing, renamed or misshapen weight is an error that names it.

`transformers` and PEFT fill what a checkpoint lacks with random weights and log a warning. The scores of such
a model look like any others.
"""

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from safetensors import SafetensorError

from hf_vitselect.errors import ModelError, VitSelectError, nearest
from hf_vitselect.models.revisions import adapter_base
from hf_vitselect.progress import no_library_bars

_logger = logging.getLogger(__name__)
_SHOWN = 3
_CAN_BE_INFINITE = (torch.float64, torch.float32, torch.bfloat16, torch.float16)

TEXT_ENCODER = "text encoder"

MAY_BE_MISSING = {
    # Buffers that the code computes: old checkpoints hold them, new ones do not.
    "": (r"(^|\.)(position_ids|inv_freq)$",),
    # The norm of the class token, and the pooling head: a vision-language model reads the patches.
    "clip_vision_model": (r"vision_tower\.(.*\.)?post_layernorm\.",),
    "siglip_vision_model": (r"vision_tower\.(.*\.)?head\.",),
    # sentence-transformers pools the token states itself.
    TEXT_ENCODER: (r"(^|\.)pooler\.dense\.",),
}
"""The weights that a checkpoint may lack, by the kind of model that has them and never uses them."""


def load_whole(
    kind: Any, model: str, *, revision: str | None = None, base_revision: str | None = None, **options: Any
) -> Any:
    """Load a model, or an adapter on its base model, with every weight from its files.

    `kind` is the class whose `from_pretrained` takes the `options`. If `base_revision` is None, it is the one
    that the adapter names.
    """
    refuse_unknown_dtype(options.get("dtype"))
    with load_errors(model):
        base = adapter_base(model, revision)
        if base is None:
            loaded = _load(kind, model, revision, options)
        else:
            loaded = _load(kind, base[0], base_revision or base[1], options)
            report = loaded.load_adapter(
                model,
                adapter_kwargs={"revision": revision},
                use_safetensors=True,
                ignore_mismatched_sizes=True,
            ).to_dict()
            _load_magnitudes(loaded, model, revision, report)
            _refuse_incomplete(f"the adapter {model} on {base[0]}", loaded, report, adapter=True)
        refuse_non_finite(model, loaded)
        return loaded


def refuse_missing_weights(kind: Any, model: str, *, used_as: str = "", **options: Any) -> None:
    """Refuse a checkpoint that lacks weights, without loading any; `used_as` is a key of `MAY_BE_MISSING`."""
    with load_errors(model):
        _load(kind, model, options.pop("revision", None), {**options, "device_map": "meta"}, used_as)


def refuse_unknown_dtype(dtype: Any) -> None:
    """Refuse anything but a floating-point dtype or its name."""
    known = getattr(torch, dtype.removeprefix("torch."), None) if isinstance(dtype, str) else dtype
    if dtype in (None, "auto") or (isinstance(known, torch.dtype) and known.is_floating_point):
        return
    near = nearest(str(dtype), ("float32", "bfloat16", "float16", "float64"))
    raise ModelError(f"expected a dtype such as float32, bfloat16, float16 or auto, got {dtype!r}{near}")


@contextmanager
def load_errors(model: str, what: str = "a model that can be loaded") -> Iterator[None]:
    """Translate what libraries raise while they load a model, or a part of it, into one message.

    Their bars and tables stay off the terminal meanwhile.
    """
    loggers = [logging.getLogger(f"transformers.{name}") for name in ("modeling_utils", "integrations.peft")]
    for logger in loggers:
        logger.addFilter(_is_no_load_report)
    try:
        with no_library_bars():
            yield
    except (VitSelectError, MemoryError, torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except Exception as error:  # Loaders raise what they like: OSError, ImportError, Rust's errors.
        raise ModelError(f"expected {what}, got {model}: {_advice(error)}") from error
    finally:
        for logger in loggers:
            logger.removeFilter(_is_no_load_report)


def refuse_unmatched_weights(
    what: str,
    missing: Collection[str],
    unknown: Collection[str] = (),
    misshapen: Collection[str] = (),
) -> None:
    """Refuse a model whose files do not hold exactly its weights.

    The names are those of weights that the files lack, that the model lacks, and of another shape.
    """
    parts = {"missing": missing, "of another shape": misshapen, "that the model does not have": unknown}
    problems = [f"{len(names)} weights {kind}: {_some(names)}" for kind, names in parts.items() if names]
    if problems:
        raise ModelError(
            f"expected every weight of {what} in its files, got {'; '.join(problems)}; "
            "they would be random or unused: use the configuration that the checkpoint was saved with, "
            "or save it again whole"
        )


def refuse_non_finite(what: str, model: Any) -> None:
    """Refuse NaN and infinite weights, which some attention kernels turn into finite scores."""
    broken = [
        name
        for name, weight in model.named_parameters()
        if weight.dtype in _CAN_BE_INFINITE and not weight.isfinite().all()
    ]
    if broken:
        raise ModelError(
            f"expected finite weights in {what}, got NaN or infinity in {len(broken)}: {_some(broken)}; "
            "its training diverged, or the dtype is too narrow for them"
        )


def _load(kind: Any, model: str, revision: str | None, options: Mapping[str, Any], used_as: str = "") -> Any:
    loaded, report = kind.from_pretrained(
        model,
        revision=revision,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # named with the others below
        **{"use_safetensors": True, **options},
    )
    _refuse_incomplete(model, loaded, report, used_as)
    return loaded


def _load_magnitudes(loaded: Any, adapter: str, revision: str | None, report: Mapping[str, Any]) -> None:
    """Load the magnitudes of a DoRA: `transformers` expects another name than PEFT writes."""
    end = ".lora_magnitude_vector.default.weight"
    if not (lost := [name for name in report["missing_keys"] if name.endswith(end)]):
        return
    from peft import load_peft_weights

    states = load_peft_weights(adapter, device="cpu", use_safetensors=True, revision=revision)
    for name in lost:
        written = name.removesuffix(".default.weight")
        if f"base_model.model.{written}" in states:
            loaded.get_parameter(name).data.copy_(states[f"base_model.model.{written}"])
            report["missing_keys"].discard(name)
            report["unexpected_keys"].discard(f"{written}.default")


def _refuse_incomplete(
    what: str, model: Any, report: Mapping[str, Any], used_as: str = "", *, adapter: bool = False
) -> None:
    vision = getattr(getattr(model.config, "vision_config", None), "model_type", "")
    allowed = re.compile(
        "|".join(pattern for kind in {"", vision, used_as} for pattern in MAY_BE_MISSING.get(kind, ()))
    )
    missing = [name for name in report["missing_keys"] if not allowed.search(name)]
    misshapen = [f"{name} {tuple(has)}, not {tuple(wants)}" for name, has, wants in report["mismatched_keys"]]
    extra = sorted(report["unexpected_keys"])
    # With more layers in the files than in the configuration, the model would silently end early.
    own = {_numberless(name) for name in model.state_dict()} if extra else set()
    layers = [name for name in extra if _numberless(name) in own]
    refuse_unmatched_weights(what, missing, extra if adapter or missing else layers, misshapen)
    if extra:
        _logger.warning(
            "%d weights in the files of %s are not the model's and are not used: %s",
            *(len(extra), what, _some(extra)),
        )


def _numberless(name: str) -> str:
    return re.sub(r"\d+", "*", name)


def _some(names: Collection[str]) -> str:
    return ", ".join(sorted(names)[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _is_no_load_report(record: logging.LogRecord) -> bool:
    """Whether a record is not the libraries' own table of such weights; ours is one line."""
    return "LOAD REPORT" not in record.getMessage()


def _advice(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    first = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    first = first if len(first) <= 300 else f"{first[:300]}..."
    if isinstance(error, SafetensorError):
        return f"{first}; its weights are cut short or damaged: copy or download them again"
    if re.search(r"[Nn]o (such )?file\b.*model\.safetensors", first):
        return f"{first}; its weights must be safetensors: save it again with save_pretrained"
    if isinstance(error, ImportError):
        return f"{first}; install that package, or leave out the option that needs it"
    return first
