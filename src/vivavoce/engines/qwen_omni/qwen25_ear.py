"""The user's speech, encoded while it is spoken: Whisper's mels in blocks of 2 s, each through the audio encoder by itself.

The encoder of Qwen2.5-Omni cuts a recording into 200 mel frames, convolves and attends within each, and counts positions
from each one's beginning: a block is worth the same alone and in a recording. Not so its mels. A frame hears 12.5 ms to each
side, so a block is closed 2.5 ms after its last sample; and mels are cut 80 dB below the loudest moment of the whole
recording, so a moment that is louder than all before raises the floor under blocks that were encoded long ago. Those that
have something below the new floor are encoded again.

After its last sample a recording goes on in silence, as the published processor pads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vivavoce.engines.qwen_omni.family import AudioBlock

DECADES: Final = 8.0
"""How far below the loudest moment mels are cut."""
QUIETEST: Final = 1e-10


class Mels:
    """Whisper's log-mel spectrogram of a stretch of a recording, before the floor is known."""

    def __init__(self, extractor: Any) -> None:
        """`extractor` is a `WhisperFeatureExtractor`."""
        self.hop_samples: int = extractor.hop_length
        self.reach_samples: int = extractor.n_fft // 2
        """A frame hears so much to each side of its first sample."""
        self._window = torch.hann_window(extractor.n_fft)
        self._filters = torch.from_numpy(np.asarray(extractor.mel_filters)).float().T

    def raw(self, samples: Tensor) -> Tensor:
        """Decades of power, [bands, frames]. `samples` are those of the frames and what they reach to each side."""
        spectrum = torch.stft(
            samples, 2 * self.reach_samples, self.hop_samples, window=self._window, center=False, return_complex=True
        )
        power = self._filters @ (spectrum.abs() ** 2)
        return power.clamp(min=QUIETEST).log10()

    @staticmethod
    def floored(raw: Tensor, loudest: float) -> Tensor:
        """As the model is given them."""
        return (raw.clamp(min=loudest - DECADES) + 4.0) / 4.0


class _Block:
    """Some frames of a recording, and what became of them."""

    def __init__(self, raw: Tensor) -> None:
        self.raw = raw
        self.quietest = float(raw.min())
        self.floor = -np.inf
        """Below which its mels were cut when it was encoded."""
        self.encoded: AudioBlock | None = None

    def is_stale(self, floor: float) -> bool:
        return self.encoded is None or (self.floor != floor and max(self.floor, floor) > self.quietest)


class BlockEar:
    """A stretch of speech. `Ear` of `family.py`."""

    def __init__(self, tower: Any, mels: Mels) -> None:
        """`tower` is a `Qwen2_5OmniAudioEncoder`."""
        self._tower = tower
        self._mels = mels
        self._block_frames = 2 * int(tower.n_window)
        self._block_samples = self._block_frames * mels.hop_samples
        self.blocks: Sequence[AudioBlock] = ()
        """What is encoded, up to the first block that is not, or not rightly any more."""
        self._pieces: list[NDArray[np.float32]] = []
        """What was fed and is not cut yet."""
        self._left = torch.zeros(0)
        """What is not in a block yet, and before it what the next block's first frame reaches back to."""
        self._fed_samples = 0
        self._cut: list[_Block] = []
        self._loudest = -np.inf
        self._whole = False
        """The tail is cut too: nothing more will be fed."""

    def feed(self, samples: NDArray[np.float32]) -> None:
        """More samples."""
        self._pieces.append(samples)

    @torch.inference_mode()
    def encode(self, *, final: bool = False) -> bool:
        """Encode one block. True while more is left."""
        self._take_in()
        while self._left_samples() >= self._block_samples + self._mels.reach_samples - self._mels.hop_samples:
            self._cut_off(self._block_frames)
        if final and not self._whole:
            self._cut_tail()
        floor = self._loudest - DECADES
        stale = [block for block in self._cut if block.is_stale(floor)]
        for block in stale:
            block.encoded = None
        if stale:
            stale[0].encoded, stale[0].floor = self._encoded(stale[0].raw), floor
        ready = takewhile(lambda block: block.encoded is not None, self._cut)
        self.blocks = [block.encoded for block in ready if block.encoded and block.encoded.positions]
        return len(stale) > 1

    def _take_in(self) -> None:
        if not self._pieces:
            return
        new = torch.from_numpy(np.concatenate(self._pieces))
        self._pieces = []
        self._fed_samples += len(new)
        self._left = torch.cat([self._left, new])

    def _left_samples(self) -> int:
        """How many samples are in no block yet."""
        return self._fed_samples - len(self._cut) * self._block_samples

    def _cut_tail(self) -> None:
        """What is left: a block whose last frames want a few samples more, and what is shorter than a block."""
        self._whole = True
        frames = max(0, -(-self._left_samples() // self._mels.hop_samples))
        self._left = torch.cat([self._left, torch.zeros(2 * self._block_samples)])
        while frames > 0:
            self._cut_off(min(frames, self._block_frames))
            frames -= self._block_frames

    def _cut_off(self, frames: int) -> None:
        """The next frames become a block."""
        reach = self._mels.reach_samples
        if not self._cut:
            # The first frame reaches back before the recording: the transform mirrors it there.
            self._left = torch.cat([self._left[1 : reach + 1].flip(0), self._left])
        heard = self._left[: (frames - 1) * self._mels.hop_samples + 2 * reach]
        block = _Block(self._mels.raw(heard))
        self._loudest = max(self._loudest, float(block.raw.max()))
        self._cut.append(block)
        self._left = self._left[frames * self._mels.hop_samples :]

    def _encoded(self, raw: Tensor) -> AudioBlock:
        frames = raw.shape[1]
        features = self._features(self._mels.floored(raw, self._loudest)) if frames > 2 else None
        if features is None:
            return AudioBlock(features=torch.zeros(0, self._tower.proj.out_features, device=self._device()), positions=0)
        return AudioBlock(features=features, positions=features.shape[0])

    def _features(self, mels: Tensor) -> Tensor:
        frames = torch.tensor([mels.shape[1]], device=self._device())
        encoded: Tensor = self._tower(mels.to(self._device()), feature_lens=frames).last_hidden_state
        return encoded

    def _device(self) -> torch.device:
        device: torch.device = self._tower.conv1.weight.device
        return device
