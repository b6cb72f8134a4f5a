"""Codes to samples while the codes still come: Qwen2.5-Omni's token2wav in chunks.

    codes ─▶ MelStream ─▶ mel frames ─▶ BigVGAN ─▶ PCM16
             (qwen25_mel.py)            48 final frames before, what is solved ahead after

A chunk is some blocks of 12 codes. It leaves as soon as the codes of one more block are there: the published report's
"look-ahead of one block". The vocoder's convolutions reach 41 frames back and forth, of which all but a thousandth lies
within 11: behind it sees all of it, ahead the 24 frames that were solved for context.
"""

from __future__ import annotations

from itertools import count
from math import prod
from typing import Any, Final

import torch
from msgspec import Struct
from torch import Tensor

from vivavoce.engines.qwen_omni.qwen25_mel import Flow, KnownVoices, MelStream

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
        """The same codes, voice and seed give the same samples: the noise that speech is made of is drawn from the seed."""
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

    def add(self, code: int, *, hurry: bool = False) -> bytes:
        """One more code. Samples as PCM16 where it completes a chunk, or, in a hurry, a block."""
        self.codes.append(code)
        block = int(self._dit.block_size)
        solvable = len(self.codes) * self._dit.repeats - self._mels.done_frames
        blocks = solvable // block - AHEAD_BLOCKS
        if blocks < (1 if hurry else self._blocks):
            return b""
        self._blocks = next(self._sizes)
        return self._decode(self._mels.done_frames + blocks * block)

    def finish(self) -> bytes:
        """No code will come any more: the rest."""
        end = len(self.codes) * self._dit.repeats
        return self._decode(end) if end > self._mels.done_frames else b""

    def _decode(self, final: int) -> bytes:
        """The samples up to a frame that is final from now on."""
        new = final - self._mels.done_frames
        encoder = self._dit.input_embed.spk_encoder
        if isinstance(encoder, KnownVoices):
            encoder.select(self._voice.name)
        solution = self._mels.solve(self.codes, final)
        if isinstance(encoder, KnownVoices):
            encoder.select("")
        seen = torch.cat([self._context, solution], dim=1)
        before = self._context.shape[1]
        self._context = seen[:, : before + new][:, -VOCODER_CONTEXT_FRAMES:].clone()
        samples = self._vocoder(seen.transpose(1, 2))
        return to_pcm16(samples[before * self._frame_samples : (before + new) * self._frame_samples])


def to_pcm16(samples: Tensor) -> bytes:
    """Samples of -1 … 1 as PCM16."""
    whole = (samples.float().clamp(-1, 1) * 32_767).round().to(torch.int16)
    return whole.cpu().numpy().tobytes()
