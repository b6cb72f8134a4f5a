"""Codes to samples while the codes still come: Qwen2.5-Omni's token2wav in chunks.

    codes ─▶ MelStream ─▶ mel frames ─▶ BigVGAN ─▶ PCM16
             (qwen25_mel.py)            48 final frames before, what is solved ahead after

A chunk is some blocks of 12 codes. It leaves as soon as the codes of one more block are there: the published report's
"look-ahead of one block". The vocoder hears 27 frames to each side, and all but four millionths of what it makes of them
comes from 24: behind it has more than that, ahead the 24 that were solved for context.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import count
from math import prod
from typing import Any, Final

import torch
from msgspec import Struct
from torch import Tensor

from vivavoce.engines.qwen_omni.qwen25_mel import Flow, MelStream

CHUNK_BLOCKS: Final = (1, 1, 2, 4, 8)
"""How many blocks (240 ms each) a chunk has: the first ones are short, so that they leave soon; then fewer solutions of
more blocks cost less. The last number holds from there on."""
AHEAD_BLOCKS: Final = 1
"""Blocks that are solved with a chunk, for context, and again with the next one."""
VOCODER_CONTEXT_FRAMES: Final = 48


class Voice(Struct, frozen=True, eq=False):
    """A speaker: what `spk_dict.pt` says of it."""

    name: str
    text_token: int
    """The token that tells the talker who speaks."""
    embedding: Tensor
    """[1, enc_emb_dim], float32."""
    reference: Tensor
    """Some of its speech as mel, [1, frames, mel_dim], float32."""


class Speech:
    """One answer's samples, in order."""

    def __init__(self, token2wav: Any, voice: Voice, flow: Flow, *, seed: int = 0) -> None:
        """The same codes, voice and seed give the same samples: the noise that speech is made of is drawn from the seed.

        The speaker encoder of `token2wav` is a `KnownVoices`.
        """
        self._dit = token2wav.code2wav_dit_model
        self._vocoder = token2wav.code2wav_bigvgan_model
        self._voice = voice
        generator = torch.Generator().manual_seed(seed)
        self._mels = MelStream(self._dit, voice.embedding, voice.reference, flow, generator)
        self._frame_samples = prod(self._vocoder.config.upsample_rates)
        self._sizes = (CHUNK_BLOCKS[min(n, len(CHUNK_BLOCKS) - 1)] for n in count())
        self._blocks = next(self._sizes)
        """How many the next chunk has."""
        self._context = torch.empty(1, 0, self._dit.mel_dim, device=voice.embedding.device)
        """The last final frames."""
        self.codes: list[int] = []
        self._decoding: Generator[None, None, bytes] | None = None

    @property
    def is_decoding(self) -> bool:
        """A chunk is full and not decoded yet. No code may be added until it is."""
        return self._decoding is not None

    def add(self, code: int, *, hurry: bool = False) -> None:
        """One more code. It may complete a chunk; in a hurry, half of one is enough.

        Not less: a chunk costs the same whatever its length, and ever shorter ones would make those late who hurry.
        """
        self.codes.append(code)
        block = int(self._dit.block_size)
        solvable = len(self.codes) * self._dit.repeats - self._mels.done_frames
        blocks = solvable // block - AHEAD_BLOCKS
        if blocks >= (max(1, self._blocks // 2) if hurry else self._blocks):
            self._blocks = next(self._sizes)
            self._decoding = self._chunk(self._mels.done_frames + blocks * block)

    def finish(self) -> None:
        """No code will come any more: what is left is the last chunk."""
        end = len(self.codes) * self._dit.repeats
        if end > self._mels.done_frames:
            self._decoding = self._chunk(end)

    def decode(self) -> bytes:
        """Go on decoding, a ninth of the work. The chunk as PCM16 when it is done."""
        if self._decoding is None:
            return b""
        encoder = self._dit.input_embed.spk_encoder
        encoder.select(self._voice.name)
        try:
            next(self._decoding)
        except StopIteration as ended:
            self._decoding = None
            chunk: bytes = ended.value
            return chunk
        finally:
            encoder.select("")
        return b""

    def _chunk(self, final: int) -> Generator[None, None, bytes]:
        """The samples up to a frame that is final from then on."""
        new = final - self._mels.done_frames
        solution = yield from self._mels.solve(self.codes, final)
        seen = torch.cat([self._context, solution], dim=1)
        before = self._context.shape[1]
        self._context = seen[:, : before + new][:, -VOCODER_CONTEXT_FRAMES:].clone()
        samples = self._vocoder(seen.transpose(1, 2))
        return to_pcm16(samples[before * self._frame_samples : (before + new) * self._frame_samples])


def to_pcm16(samples: Tensor) -> bytes:
    """Samples of -1 … 1 as PCM16."""
    whole = (samples.float().clamp(-1, 1) * 32_767).round().to(torch.int16)
    return whole.cpu().numpy().tobytes()
