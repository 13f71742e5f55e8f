"""The options with which a vision-language model is loaded and run: the same for scorers and commands."""

import os
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from hf_vitselect.call_text import check_fields

EndOfTurn = Literal["auto", "template"]
"""What ends a response, as in `ModelOptions`."""


def option(default: Any, help: str) -> Any:
    """A field with its help text for the command line."""
    return field(default=default, metadata={"help": help})


@dataclass(kw_only=True, eq=False)  # a scorer inherits its options, and equals only itself
class ModelOptions:
    """Options to load and run a model. Every field's metadata holds its help text for the command line.

    Args:
        revision: a commit, branch or tag on the Hub.
        dtype: a torch dtype's name; `auto` is the checkpoint's. In half precision a row's mean loss varies by
            about 1e-3 with the other rows of its batch.
        max_length: rows with more tokens are `too_long`; the model's own context if None.
        end_of_turn: `auto` supervises the template's end-of-turn token and, after a response that the
            template does not close, inserts the tokenizer's EOS, as training does; `template` leaves the
            prompt as the template writes it.
        trust_remote_code: as in `transformers`.
        processor: used in place of the model's own `AutoProcessor`: a processor, or its Hub id or folder.
            An adapter saved without a processor takes its base model's.
        batch_size: rows per forward; changes no score beyond rounding. On a CPU a forward has at most 2,048
            tokens, unless a single row has more.
        batch_tokens: tokens per forward, padding included, in place of `batch_size`. Fills a GPU whatever the
            rows' lengths.
        attn_implementation: the attention kernel, as in `transformers`, which chooses one if None. Rows
            share their image tokens only under `sdpa`.
        torch_compile: whether to compile the language model's layers with `torch.compile`. Takes some seconds
            at the first rows, and on a CPU needs a C++ compiler.

    Raises:
        ValueError: if an option has the wrong type, a size is below 1, or `end_of_turn` is unknown.
    """

    revision: str | None = option(None, "The model's commit, branch or tag on the Hub.")
    dtype: str = option("auto", "A torch dtype, such as bfloat16; auto is the checkpoint's.")
    max_length: int | None = option(
        None, "Rows with more tokens are too_long; the model's context if not set."
    )
    end_of_turn: EndOfTurn = option(
        "auto",
        "'auto' inserts the tokenizer's EOS after responses that the chat template does not close; "
        "'template' leaves the prompt as the template writes it.",
    )
    trust_remote_code: bool = option(False, "Whether to run code of the model's repository.")
    processor: Any = option(None, "A processor in place of the model's own, on the Hub or in a folder.")
    batch_size: int = option(8, "Rows per forward.")
    batch_tokens: int | None = option(None, "Tokens per forward, padding included, in place of batch_size.")
    attn_implementation: str | None = option(None, "The attention kernel, as in transformers.")
    torch_compile: bool = option(False, "Whether to compile the model's layers.")

    def __post_init__(self) -> None:
        refuse_end_of_turn(self.end_of_turn)
        if str(self.dtype).startswith("torch."):
            self.dtype = str(self.dtype).removeprefix("torch.")
        check_fields(self, ModelOptions, batch_size=1, batch_tokens=1, max_length=1)
        if isinstance(self.processor, os.PathLike):
            self.processor = str(self.processor)
        elif self.processor is not None and not isinstance(self.processor, str):
            from hf_vitselect.models.processors import SavedProcessor

            if not isinstance(self.processor, SavedProcessor):
                if not hasattr(self.processor, "save_pretrained"):
                    raise ValueError(
                        f"processor: expected a processor, or its Hub id or folder, got {self.processor!r}"
                    )
                self.processor = SavedProcessor.of(self.processor)


def refuse_end_of_turn(end_of_turn: str) -> None:
    """Refuse an unknown way to end a response."""
    if end_of_turn not in get_args(EndOfTurn):
        raise ValueError(f"end_of_turn: expected one of {list(get_args(EndOfTurn))}, got {end_of_turn!r}")
