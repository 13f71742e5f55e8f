"""The model and the processor of a training, as its arguments name them."""

import copy
import os
from functools import partial
from types import SimpleNamespace
from typing import Any

from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    set_seed,
)
from trl import SFTConfig
from trl.trainer.utils import create_model_from_path

from hf_vitselect.models.processors import load_processor
from hf_vitselect.models.revisions import adapter_base, refuse_revision
from hf_vitselect.models.weights import load_errors, load_whole, refuse_unknown_dtype
from hf_vitselect.training.checks import model_revision
from hf_vitselect.training.warm_start import with_trainable_adapter


def processor_of(model: Any, args: SFTConfig, processor: Any = None) -> Any:
    """Load the processor of the model to train, at the model's revision, or the given one."""
    if processor is not None and not isinstance(processor, (str, os.PathLike)):
        return processor
    revision = None
    if processor is None:
        processor = model if isinstance(model, (str, os.PathLike)) else model.config.name_or_path
        revision = model_revision(args)
    refuse_revision(str(processor), revision)
    return load_processor(str(processor), revision=revision, trust_remote_code=args.trust_remote_code)


def load_model(model: str, args: SFTConfig, quantization_config: Any = None) -> Any:
    """Load a model as TRL does, or an adapter to be trained further; refuse missing weights."""
    options: dict[str, Any] = {"trust_remote_code": args.trust_remote_code, "use_safetensors": None}
    options |= args.model_init_kwargs or {}
    if quantization_config is not None:
        options["quantization_config"] = quantization_config
    # Each process holds the whole model on its own device.
    if args.distributed_state.distributed_type in ("MULTI_GPU", "DEEPSPEED"):
        options["device_map"] = None
    refuse_unknown_dtype(options.get("dtype"))
    revision = options.get("revision")
    if (base := adapter_base(model, revision)) is not None:
        of_base = copy.copy(args)
        of_base.model_init_kwargs = options | {"revision": base[1]}
        return with_trainable_adapter(load_model(base[0], of_base), model, revision)
    with load_errors(model):
        config = AutoConfig.from_pretrained(
            model, revision=options.get("revision"), trust_remote_code=options["trust_remote_code"]
        )
        mapped = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
        kind = AutoModelForImageTextToText if mapped else AutoModelForCausalLM
        set_seed(args.seed)
        whole = SimpleNamespace(from_pretrained=partial(load_whole, kind))
        return create_model_from_path(model, whole, **options)
