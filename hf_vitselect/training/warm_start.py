"""Training that goes further where another training ended: at an adapter, or at a seed model."""

import copy
import os
from pathlib import Path
from typing import Any

from peft import (
    PeftConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    load_peft_weights,
    set_peft_model_state_dict,
)
from trl import SFTConfig

from hf_vitselect.models.revisions import adapter_base
from hf_vitselect.models.weights import load_errors, refuse_non_finite, refuse_unmatched_weights
from hf_vitselect.selection.recipe import Recipe
from hf_vitselect.training.checks import model_revision
from hf_vitselect.training.seed_rows import ROWS_FILE, read_seed_rows


def is_adapter(model: Any, args: SFTConfig) -> bool:
    """Whether a model, or the name or folder of one, is an adapter."""
    if not isinstance(model, (str, os.PathLike)):
        return isinstance(model, PeftModel)
    return adapter_base(str(model), model_revision(args)) is not None


def refuse_second_adapter(model: str, args: SFTConfig, peft_config: Any) -> None:
    """Refuse a new adapter on an adapter."""
    if peft_config is not None and is_adapter(model, args):
        raise ValueError(
            f"expected no peft_config (use_peft) with {model}, which is an adapter and is itself trained "
            "further; leave it out, or merge the adapter into its base model"
        )


def with_revision(peft_config: Any, args: SFTConfig) -> Any:
    """Let an adapter name the revision of its base model, which PEFT would forget."""
    revision = model_revision(args)
    if peft_config is None or revision in (None, "main"):
        return peft_config
    peft_config = copy.copy(peft_config)
    peft_config.revision = revision
    return peft_config


def with_trainable_adapter(model: Any, adapter: str, revision: str | None = None) -> Any:
    """Put an adapter on its base model, every weight of it from its files, to train it further."""
    with load_errors(adapter):
        config = PeftConfig.from_pretrained(adapter, revision=revision)
        config.inference_mode = False
        tuned = get_peft_model(model, config)
        saved = load_peft_weights(adapter, device="cpu", use_safetensors=True, revision=revision)
        own = get_peft_model_state_dict(tuned)
        misshapen = [
            f"{name} {tuple(saved[name].shape)}, not {tuple(own[name].shape)}"
            for name in own.keys() & saved.keys()
            if saved[name].shape != own[name].shape
        ]
        refuse_unmatched_weights(
            f"the adapter {adapter}", own.keys() - saved.keys(), saved.keys() - own.keys(), misshapen
        )
        set_peft_model_state_dict(tuned, saved)
        refuse_non_finite(adapter, tuned)
        return tuned


def rows_before(model: str, recipe: Recipe) -> str | None:
    """Name the rows that a model was trained on before those of a selection, if it is a seed model."""
    record = Path(model, ROWS_FILE)
    if not model or not record.exists():
        return None
    row_ids, of_seed = read_seed_rows(record)
    pool = "the same pool" if of_seed.fingerprint == recipe.fingerprint else "another pool"
    return f"{len(row_ids):,} random rows of {pool}"
