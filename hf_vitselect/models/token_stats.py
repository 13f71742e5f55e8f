"""What a model's next-token distributions say of a response."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class ResponseStats:
    """What the model thinks of one row's response.

    Attributes:
        nll: float32 of shape (response tokens,), negative log-likelihood in nats per token.
        hit: bool of the same shape, whether the token is the model's first choice. All true means that
            greedy decoding writes this very response.
        entropy: float32 of the same shape, entropy of the distribution over the vocabulary in nats, from 0
            (certain) to the logarithm of the vocabulary's size.
        error_norm: float32 of the same shape, Euclidean norm of the probabilities minus the one-hot token,
            from 0 (certain and right) to the square root of 2: EL2N (arXiv 2107.07075, section 3) for each
            token.
        hidden: float32 of shape (hidden size,), the mean over the response tokens of the states that the
            output layer reads at them.
        vocabulary: how many tokens the distributions are over.
    """

    nll: torch.Tensor
    hit: torch.Tensor
    entropy: torch.Tensor
    error_norm: torch.Tensor
    hidden: torch.Tensor
    vocabulary: int

    @property
    def mean(self) -> float:
        """The mean negative log-likelihood in nats per response token; NaN without any token."""
        return self.nll.double().mean().item()


def token_signals(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Loss, hit, entropy and error norm of every token, in two float32 tensors of the logits' shape.

    Args:
        logits: shape (tokens, vocabulary), any floating dtype; computed on in float32.
        targets: int64 of shape (tokens,), the tokens that are there.

    Returns:
        `nll`, `hit`, `entropy`, `error_norm` as in `ResponseStats`.
    """
    log_chances = logits.float().log_softmax(-1)
    nll = -log_chances.gather(-1, targets[:, None])[:, 0]
    hit = log_chances.max(-1).indices == targets
    log_chances.clamp_(min=torch.finfo(torch.float32).min)  # a token that cannot be has no entropy, not NaN
    chances = log_chances.exp()
    entropy = -log_chances.mul_(chances).sum(-1)  # in place: vecdot makes a third tensor
    # What the token lacks of 1 is what all others have: a sum that keeps its digits, unlike 1 less a chance.
    others = chances.scatter_(-1, targets[:, None], 0)
    error_norm = torch.hypot(others.norm(dim=-1), others.sum(-1))
    return nll, hit, entropy, error_norm
