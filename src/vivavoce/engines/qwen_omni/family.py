"""What the engine asks of a model family, and what a family may rely on.

    framework (engine.py …)                              family (qwen3*.py, qwen25*.py)
    ───────────────────────                              ──────────────────────────────
    commands, events, sessions                           weights, tokenizer, chat template
    prompt: items ─▶ entries; longest common prefix      entries ─▶ embeddings ─▶ KV caches
    when to listen, prefill, step, stop                  Ear: samples ─▶ closed blocks ─▶ features
    text deltas, marks, calls, budget, metrics           Answer: one token and one codec frame a step ─▶ PCM

The framework is one for all families and knows nothing of tensors; a family knows nothing of sessions, items or events.
Everything below runs on the one inference thread, so a family takes no locks; and it never waits for anything. What two
conversations share is the weights and nothing else: state that transformers keeps on a module (`rope_deltas`) must not
be relied on, positions are computed and passed.

A family's module has `load(folder, options) -> Family`; `engine.FAMILIES` finds it by `model_type` in `config.json`.
The Qwen3 family is `qwen3*.py`, the Qwen2.5 family `qwen25*.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, Literal, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

HEARING_HZ = 16_000
"""The rate at which every family hears."""


class AudioBlock(Struct, frozen=True, eq=False):
    """Encoded speech that stands in a prompt. Two blocks are the same only if they are one object."""

    features: Any
    """A tensor [positions, hidden size], on the model's device."""
    positions: int
    """How many places of the prompt it takes."""


Entry = int | AudioBlock
"""A place of a prompt: a token's id, or a block of speech in place of its audio tokens."""


def positions_of(entries: Sequence[Entry]) -> int:
    """How many positions of the KV cache these entries take."""
    return sum(entry.positions if isinstance(entry, AudioBlock) else 1 for entry in entries)


def common_prefix(cached: Sequence[Entry], wanted: Sequence[Entry]) -> int:
    """How many entries, from the beginning, are the same: tokens by id, blocks by identity."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(cached, wanted, strict=False)))


class LoadOptions(Struct, frozen=True, kw_only=True):
    """Where and how the weights live."""

    device: str = "auto"
    """`cuda`, `cuda:1`, `cpu`; `auto` takes the first GPU, else the CPU."""
    dtype: str = "auto"
    """`bfloat16`, `float16`, `float32`; `auto` is bfloat16 on a GPU and float32 on a CPU."""
    attention: str = ""
    """As `attn_implementation` of transformers; empty leaves the choice to it."""
    graphs: bool = True
    """Use CUDA graphs where a family has any, and there is a GPU."""
    speech: bool = True
    """Load the talker and the vocoder. Without them every answer is text."""
    threads: int = 0
    """Processor threads of PyTorch; 0 leaves the number to it. Small models are slower with more than one."""


class Manner(Struct, frozen=True, kw_only=True):
    """How to answer."""

    voice: str | None = None
    """One of the family's `voices`, or `None`: only text is wanted."""
    temperature: float | None = None
    """Of the text. 0 is greedy, `None` the family's own. Speech keeps the family's own unless `greedy_speech`."""
    greedy_speech: bool = False
    """Codes by the highest score too (with the family's repetition penalty): for tests and measurements."""
    max_text_tokens: int = 2_048
    max_frames: int = 3_750
    """Codec frames at most (5 min at 80 ms): a talker may fail to find its end."""


class Step(Struct, frozen=True):
    """What one step brought: at most one token of text and at most one chunk of speech."""

    token: int | None = None
    """The next token of the answer. The end-of-turn token is not told."""
    pcm: bytes = b""
    """PCM16 mono, 24,000 Hz. Empty on most steps: frames leave in chunks."""
    text_done: bool = False
    """No token will come after this step."""
    done: bool = False
    """The answer is whole, speech included. `step` is not called again."""
    reason: Literal["completed", "max_output_tokens"] = "completed"
    """With `done`: did it end by itself, or at a limit of `Manner`."""


class Ear(Protocol):
    """One stretch of the user's speech, encoded while it is spoken.

    A block is encoded as soon as it is closed: when nothing that is still to come can change its features. If something
    does (the loudest moment of a recording sets the floor of all its mels), the blocks it changes leave `blocks` and come
    again as new ones, so that features always equal those of the whole recording.
    """

    @property
    def blocks(self) -> Sequence[AudioBlock]:
        """What is encoded, from the beginning, without gaps."""

    def feed(self, samples: NDArray[np.float32]) -> None:
        """More samples at 16,000 Hz, -1 … 1. Cheap: encodes nothing."""

    def encode(self, *, final: bool = False) -> bool:
        """Encode one block, if one is closed; with `final` the tail counts too. True while more is left to encode."""


class Answer(Protocol):
    """An answer being made."""

    def step(self, *, hurry: bool = False) -> Step:
        """Make at most one token of text and one codec frame.

        With `hurry` the listener is about to run dry: frames that wait for their chunk to fill may leave now.
        """

    def close(self) -> None:
        """Nobody wants the rest, or it is done: free what is only the answer's. Idempotent."""


class Conversation(Protocol):
    """The memory of one conversation: KV caches, and what is in them."""

    @property
    def entries(self) -> Sequence[Entry]:
        """What the thinker's cache holds, in order: what was extended, and the tokens of answers that were fed back."""

    def extend(self, entries: Sequence[Entry]) -> None:
        """Read on: the next token is that after the last entry. The framework passes slices of bounded size."""

    def crop(self, entries: int) -> None:
        """Forget all but the first so many entries, in every cache that depends on them."""

    def settle(self) -> None:
        """Do now what an answer in speech would have to do first (the talker's prefill): there is time."""

    def answer(self, manner: Manner) -> Answer:
        """Begin an answer after `extend`. One at a time; `extend` and `crop` come again after `Answer.close`."""

    def close(self) -> None:
        """Free the caches. Idempotent."""


class Family(Protocol):
    """A loaded model, shared by all sessions."""

    voices: tuple[str, ...]
    """Speakers, the default first; as `voice` of a session names them, in small letters. Empty: it does not speak."""
    frame_samples: int
    """Samples at 24,000 Hz of a codec frame."""
    context_positions: int
    """How long a prompt with its answer may be."""
    positions_per_second: float
    """How many of them a second of the user's speech takes."""
    audio_token: str
    """What stands for speech in a rendered prompt, once for each stretch."""
    tool_call_token: int | None
    """The token that begins a call (`<tool_call>`). As the first of an answer it never starts the talker; later on, the
    speech ends before it. `None`: the tokenizer has none."""

    def render(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], *, answer: bool) -> str:
        """The prompt as text, through the chat template: system, turns, tools, and with `answer` the opening of an answer.

        Messages are as transformers' chat templates take them: `content` a text or parts (`{"type": "text", "text": …}`,
        `{"type": "audio"}`), `tool_calls` with `function.name` and `function.arguments` (JSON text), role `tool`.
        """

    def encode(self, text: str) -> list[int]:
        """Tokens of a piece of a rendered prompt; special tokens are read as such, none is added."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens of an answer, special ones left out. Broken UTF-8 comes as U+FFFD."""

    def ear(self) -> Ear:
        """Begin to hear a stretch of speech."""

    def open(self) -> Conversation:
        """Begin a conversation."""

    def close(self) -> None:
        """Free the weights."""
