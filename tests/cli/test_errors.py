"""Messages and exit statuses for errors."""

import errno

import httpx2
import pytest
import torch

from hf_vitselect.cli.errors import describe_error
from hf_vitselect.errors import LayoutError, ModelError


def raised(error, cause=None):
    try:
        raise error from cause
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "words", "status"),
    [
        (LayoutError("expected that"), "expected that", 2),
        (raised(RuntimeError("a worker"), ModelError("no template")), "no template", 2),
        (torch.OutOfMemoryError("CUDA out of memory"), "lower --batch_size", 2),
        (MemoryError(), "out of memory: MemoryError", 2),
        (OSError(errno.ENOSPC, "No space left on device", "x"), "make room", 2),
        (raised(ValueError("x"), OSError(errno.ENOSPC, "No space left on device")), "make room", 2),
        (PermissionError(errno.EACCES, "Permission denied", "out"), "Permission denied: 'out'", 2),
        (ImportError("needs flash_attn"), "needs flash_attn", 2),
        (RuntimeError("W requires w to be installed. Run `pip install w`."), "pip install w", 2),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "make room", 2),
        (httpx2.ConnectError("Name or service not known"), "check the network", 2),
        (raised(ValueError("of a library")), "--debug shows where", 2),
        (ValueError("\n".join("abcdef")), "a\nb\n(--debug", 2),
        (TypeError("unsupported\noperand"), "TypeError: unsupported\nthis is unexpected", 1),
        (KeyboardInterrupt(), "finished shards are kept: the same command resumes", 130),
    ],
)
def test_errors_say_what_to_do(error, words, status):
    message, code = describe_error(error, "score")
    assert words in message
    assert code == status
    assert len(message.splitlines()) <= 3
