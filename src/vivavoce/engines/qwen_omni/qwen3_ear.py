"""Speech → features, block by block, while it is spoken; the same features as from the whole recording.

    samples 16 kHz ─▶ log-mels, 100 frames a second ─▶ blocks of 800 frames (8 s) ─▶ audio encoder ─▶ 104 positions

Why 8 s: the encoder convolves each second by itself (`n_window` = 50: chunks of 100 frames) and attends within windows of
`n_window_infer` = 800 frames, so nothing crosses the border of 8 s. Shorter blocks would cut a window in two.

Three things do reach across, and are taken care of:

- A mel frame reads 200 samples to either side, so a block is closed 40 samples after its end. The recording's own ends are
  mirrored, as the feature extractor of Whisper does.
- Mels are cut off 80 dB below the loudest moment of the whole recording. When somebody gets louder, that floor rises; blocks
  that have something below the new floor are encoded again, the others stay as they are.
- The last second of a recording is filled up with silence where it follows others, but not where it is all there is. The
  tail is therefore encoded next to a second of silence, whose features are dropped.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vivavoce.engines.qwen_omni.family import AudioBlock

RANGE: Final = 8.0
"""Below the loudest moment, in powers of ten: 80 dB (Whisper's log-mel)."""
QUIETEST: Final = 1e-10
MIRRORED_SAMPLES: Final = 400
"""Less than this cannot be mirrored at its ends, and is filled up with silence."""


class Mels:
    """The log-mels of a feature extractor, for any stretch of a recording."""

    def __init__(self, extractor: Any) -> None:
        self.hop_samples: Final = int(extractor.hop_length)
        self.reach_samples: Final = int(extractor.n_fft) // 2
        self.bins: Final = int(extractor.feature_size)
        self._fft: Final = int(extractor.n_fft)
        self._filters: Final = torch.from_numpy(np.asarray(extractor.mel_filters.T)).float()
        self._window: Final = torch.hann_window(self._fft)

    def frames(self, samples: NDArray[np.float32], start: int, end: int) -> Tensor:
        """Frames [bins, end - start] of a recording, as powers of ten, without the floor.

        `samples` is all that is known of it; a frame that reaches beyond reads its mirror image.
        """
        if len(samples) < MIRRORED_SAMPLES:
            samples = np.pad(samples, (0, MIRRORED_SAMPLES - len(samples)))
        first, last = start * self.hop_samples - self.reach_samples, (end - 1) * self.hop_samples + self.reach_samples
        known = samples[max(0, first) : last]
        padding = (max(0, -first), max(0, last - len(samples)))
        piece = torch.from_numpy(np.pad(known, padding, mode="reflect"))
        spectrum = torch.stft(piece, self._fft, self.hop_samples, window=self._window, center=False, return_complex=True)
        return (self._filters @ (spectrum.abs() ** 2).contiguous()).clamp(min=QUIETEST).log10()


class _Stretch:
    """The mels of one block, and what they were encoded to."""

    def __init__(self, mels: Tensor) -> None:
        self.mels = mels
        self.loudest = float(mels.max())
        self.quietest = float(mels.min())
        self.floor = float("-inf")
        """Under which it was encoded."""
        self.block: AudioBlock | None = None

    def stands(self, floor: float) -> bool:
        """It is encoded, and this floor changes nothing of it."""
        return self.block is not None and (floor == self.floor or max(floor, self.floor) <= self.quietest)


class Qwen3Ear:
    """One stretch of the user's speech."""

    def __init__(self, audio_tower: Any, mels: Mels) -> None:
        self._tower = audio_tower
        self._mels = mels
        config = audio_tower.config
        self._second_frames = int(config.n_window) * 2
        self._block_frames = int(config.n_window_infer)
        self._samples: list[NDArray[np.float32]] = []
        self._known_samples = 0
        self._stretches: list[_Stretch] = []
        self._complete = False
        self.blocks: list[AudioBlock] = []

    def feed(self, samples: NDArray[np.float32]) -> None:
        """More samples, 16,000 Hz."""
        self._samples.append(samples)
        self._known_samples += len(samples)

    def encode(self, *, final: bool = False) -> bool:
        """Encode the next block that is closed, or that a louder moment has changed. True while more is left."""
        with torch.inference_mode():
            self._close_blocks(final)
            floor = max((stretch.loudest for stretch in self._stretches), default=0.0) - RANGE
            for number, stretch in enumerate(self._stretches):
                if not stretch.stands(floor):
                    stretch.block, stretch.floor = self._encoded(number, floor), floor
                    break
        self.blocks = [
            stretch.block for stretch in takewhile(lambda one: one.stands(floor), self._stretches) if stretch.block
        ]
        return len(self.blocks) < len(self._stretches)

    def _close_blocks(self, final: bool) -> None:
        """The mels of blocks that are closed; with `final`, of the tail too."""
        if self._complete:
            return
        hop, done = self._mels.hop_samples, len(self._stretches) * self._block_frames
        closed = max(0, (self._known_samples - self._mels.reach_samples) // hop + 1)
        if not final and closed < done + self._block_frames:
            return
        samples = np.concatenate(self._samples) if self._samples else np.zeros(0, np.float32)
        self._samples = [samples]
        frames = len(samples) // hop if final else closed
        while done + self._block_frames <= frames or (final and done < frames):
            end = min(done + self._block_frames, frames)
            self._stretches.append(_Stretch(self._mels.frames(samples, done, end)))
            done = end
        if final:
            self._complete = True
            self._samples.clear()

    def _encoded(self, number: int, floor: float) -> AudioBlock:
        mels = (self._stretches[number].mels.clamp(min=floor) + 4.0) / 4.0
        lengths = [mels.shape[1]]
        alone = number == 0 or lengths[0] >= self._second_frames
        if not alone:
            mels = torch.cat((torch.zeros(mels.shape[0], self._second_frames), mels), dim=1)
            lengths.insert(0, self._second_frames)
        device = self._tower.conv2d1.weight.device
        encoded = self._tower(mels.to(device), feature_lens=torch.tensor(lengths, device=device)).last_hidden_state
        if not alone:
            encoded = encoded[-_positions(lengths[-1]) :]
        return AudioBlock(encoded, encoded.shape[0])


def _positions(frames: int) -> int:
    """Positions of less than a second of frames: three convolutions, each of which halves and rounds up."""
    for _ in range(3):
        frames = (frames + 1) // 2
    return frames
