"""Statistics of a model's next-token distributions over a response: the loss of each token, and more."""

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class ResponseStats:
    """Statistics of one row's response tokens that have a prediction.

    Attributes:
        nll: float32 of shape (response tokens,), negative log-likelihood in nats.
        choice: int64 of the same shape, the model's first choice at the token's place.
        log_odds: float32 of the same shape, log probability of the first choice less that of the token, at
            least 0.
        entropy: float32 of the same shape, entropy of the distribution over the vocabulary in nats, from 0
            (certain) to the logarithm of the vocabulary's size.
        error_norm: float32 of the same shape, Euclidean norm of the probabilities minus the one-hot token,
            from 0 (certain and right) to the square root of 2: EL2N (arXiv 2107.07075, section 3) per token.
        hidden: float32 of shape (hidden size,), mean over the response tokens of the output layer's input.
        token: int64 of shape (response tokens,), the tokens.
        position: int64 of the same shape, the tokens' positions in the row.
        vocabulary: the number of tokens in the distributions.
        tokenizer: the tokenizer of the tokens.
    """

    nll: torch.Tensor
    choice: torch.Tensor
    log_odds: torch.Tensor
    entropy: torch.Tensor
    error_norm: torch.Tensor
    hidden: torch.Tensor
    token: torch.Tensor
    position: torch.Tensor
    vocabulary: int
    tokenizer: Any = None

    @property
    def hit(self) -> torch.Tensor:
        """Whether each token is the model's first choice, bool of shape (response tokens,).

        If all are true, greedy decoding generates this response.
        """
        return self.choice == self.token

    @property
    def mean(self) -> float:
        """Mean negative log-likelihood in nats per response token; NaN without any token."""
        return self.nll.double().mean().item()


def token_stats(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The loss, first choice, log odds, entropy and error norm of every token, as in `ResponseStats`.

    From logits of shape (tokens, vocabulary), any floating dtype, and int64 targets of shape (tokens,).
    Needs two float32 tensors of the logits' shape.
    """
    log_probs = logits.float().log_softmax(-1)
    nll = -log_probs.gather(-1, targets[:, None])[:, 0]
    best = log_probs.max(-1)
    log_odds = best.values + nll
    log_probs.clamp_(min=torch.finfo(torch.float32).min)  # an impossible token has entropy 0, not NaN
    probs = log_probs.exp()
    entropy = -log_probs.mul_(probs).sum(-1)  # in place: vecdot makes a third tensor
    # The target's error, 1 minus its probability, is the sum of the others, which keeps its digits near 0.
    others = probs.scatter_(-1, targets[:, None], 0)
    error_norm = torch.hypot(others.norm(dim=-1), others.sum(-1))
    return nll, best.indices, log_odds, entropy, error_norm
