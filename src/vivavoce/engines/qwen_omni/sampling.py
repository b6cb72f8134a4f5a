"""Scores → the next token, in the order of transformers' `generate`, so that greedy answers are the same to the token.

Repetition penalty, suppressed tokens, then either the highest score or: temperature, top-k, top-p, a draw.
"""

from __future__ import annotations

import torch
from msgspec import Struct
from torch import Tensor


class Sampling(Struct, frozen=True, kw_only=True):
    """How to choose among the scores."""

    temperature: float = 1.0
    """0 takes the highest score."""
    top_k: int = 0
    """0: any number."""
    top_p: float = 1.0
    repetition_penalty: float = 1.0


def choose(
    scores: Tensor,
    sampling: Sampling,
    said: Tensor | None = None,
    suppressed: Tensor | None = None,
    race: Tensor | None = None,
) -> Tensor:
    """The next token, [1, 1], from scores [1, vocabulary].

    `said` [1, n] are the tokens that the repetition penalty falls on, `suppressed` [m] the ids that may not come; `race` are
    draws of an exponential distribution [1, vocabulary], for a caller that makes them itself.
    """
    allowed = _allowed(scores, sampling, said, suppressed)
    if sampling.temperature == 0:
        return allowed.argmax(-1, keepdim=True)
    # A draw by a race of exponentials: `torch.multinomial` would wait for the GPU, to see that the odds are odds.
    race = torch.empty_like(allowed).exponential_() if race is None else race
    return (odds(allowed, sampling) / race).argmax(-1, keepdim=True)


def _allowed(scores: Tensor, sampling: Sampling, said: Tensor | None, suppressed: Tensor | None) -> Tensor:
    scores = scores.float()
    if said is not None and sampling.repetition_penalty != 1.0:
        scores = _penalised(scores, said, sampling.repetition_penalty)
    return scores if suppressed is None else scores.index_fill(1, suppressed, float("-inf"))


def odds(scores: Tensor, sampling: Sampling) -> Tensor:
    """Probabilities of the tokens, [1, vocabulary]: temperature, top-k, top-p."""
    scores = scores / sampling.temperature
    if 0 < sampling.top_k < scores.shape[-1]:
        lowest = torch.topk(scores, sampling.top_k).values[:, -1:]
        scores = scores.masked_fill(scores < lowest, float("-inf"))
    if sampling.top_p < 1.0:
        scores = _nucleus(scores, sampling.top_p)
    return scores.softmax(-1)


def _penalised(scores: Tensor, said: Tensor, penalty: float) -> Tensor:
    """Scores of what was said: divided by the penalty if positive, multiplied if negative (Keskar et al. 2019)."""
    before = scores.gather(1, said)
    return scores.scatter(1, said, torch.where(before < 0, before * penalty, before / penalty))


def _nucleus(scores: Tensor, top_p: float) -> Tensor:
    """Only the likeliest tokens that together reach `top_p` (Holtzman et al. 2019)."""
    ascending, order = scores.sort(dim=-1)
    unlikely = ascending.softmax(-1).cumsum(-1) <= 1 - top_p
    unlikely[:, -1] = False
    return scores.masked_fill(unlikely.scatter(1, order, unlikely), float("-inf"))
