"""Codes to mel frames while the codes still come: the flow-matching half of Qwen2.5-Omni's token2wav.

The published model decodes a whole answer at once. Its transformer (DiT) works in blocks of 24 mel frames (12 codes,
240 ms): in most layers a block sees itself, in `look_backward_layers` the block before it too, in `look_ahead_layers` the
one after it. So one evaluation of block b reads blocks b-2 … b+1, and nothing else.

A solution of the flow equation is a chain of evaluations (nine Runge-Kutta steps of four), each on the state that the last
one led to. A window solved from scratch would come out differently, for its neighbours' states would be missing. So the
solver keeps, for the two newest blocks that are final, the state that went into each evaluation, and puts them before the
new blocks' states the next time:

    final, states kept        new, final now        ahead: context only, solved again next time
    [ b-2 ][ b-1 ]            [  b  ][ b+1 ]        [ b+2 ]

Where no layer looks ahead, what comes out equals the whole decode. With the published look-ahead layer it differs by what
lies beyond the last block ahead, and with each block ahead by less; the tests measure it. The noise that a solution starts
from is drawn once for each frame.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from itertools import pairwise
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor, nn


class Flow(Struct, frozen=True):
    """How the flow equation is solved. The defaults are those of the published `generate()`."""

    steps: int = 10
    """Points in time, so one step fewer; each step evaluates the model four times."""
    guidance: float = 0.5
    """How far to go beyond what the codes and the voice ask for, away from what the model does without them."""
    sway: float = -1.0
    """Bends the points in time towards the beginning."""

    def times(self, device: torch.device) -> Tensor:
        """The points in time, 0 to 1: t + s (cos(πt/2) - 1 + t), F5-TTS's sway sampling."""
        even = torch.linspace(0, 1, self.steps, device=device)
        return even + self.sway * (torch.cos(torch.pi / 2 * even) - 1 + even)


class MelStream:
    """One answer's mel frames, in order. Frames are `[1, frames, mel_dim]`, float32."""

    def __init__(self, dit: Any, voice: Tensor, reference: Tensor, flow: Flow, generator: torch.Generator) -> None:
        """`voice` is the speaker's embedding, [1, enc_emb_dim], `reference` some of its speech, [1, frames, mel_dim]."""
        self._dit = dit
        self._voice = voice
        self._reference = reference
        self._flow = flow
        self._generator = generator
        self._noise = torch.empty(1, 0, dit.mel_dim, device=voice.device)
        """Of the frames from `_done` on."""
        self._kept: list[Tensor] = []
        """The state that went into each evaluation, for the last final frames."""
        self._done = 0

    @property
    def done_frames(self) -> int:
        """Frames that are final."""
        return self._done

    def solve(self, codes: Sequence[int], final: int) -> Generator[None, None, Tensor]:
        """Frames from `done_frames` to the end of `codes`; those before `final` are final then, the others context.

        `codes` are all codes so far. A generator, for others to have their turn between two Runge-Kutta steps.
        """
        end = len(codes) * self._dit.repeats
        behind = min(self._done, self._lookback_frames())
        first = self._done - behind
        window = torch.tensor([codes[first // self._dit.repeats :]], device=self._voice.device)
        states: list[Tensor] = []
        solution = yield from self._integrate(self._noise_until(end), self._velocity(window, behind, states))
        keep = min(final, self._lookback_frames())
        self._kept = [state[:, final - first - keep : final - first].clone() for state in states]
        self._noise = self._noise[:, final - self._done :]
        self._done = final
        return solution

    def _lookback_frames(self) -> int:
        return len(self._dit.config.look_backward_layers) * int(self._dit.block_size)

    def _noise_until(self, end: int) -> Tensor:
        """The noise of all frames that are not final. Drawn on the CPU: the same on every device."""
        missing = end - self._done - self._noise.shape[1]
        if missing > 0:
            drawn = torch.randn(1, missing, self._dit.mel_dim, generator=self._generator)
            self._noise = torch.cat([self._noise, drawn.to(self._noise.device)], dim=1)
        return self._noise

    def _velocity(self, codes: Tensor, behind: int, states: list[Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        """The flow's velocity as a function of time and of the new frames' state. Notes in `states` what it was given."""
        voice = self._voice.unsqueeze(1).expand(-1, codes.shape[1] * self._dit.repeats, -1)

        def velocity(time: Tensor, new: Tensor) -> Tensor:
            state = torch.cat([self._kept[len(states)], new], dim=1) if behind else new
            states.append(state)
            both = self._dit(
                hidden_states=state,
                quantized_code=codes,
                speaker_embedding=voice,
                condition_vector=self._reference,
                time_step=time,
                apply_cfg=True,
            )
            guided, unguided = both.chunk(2)
            flow: Tensor = guided + (guided - unguided) * self._flow.guidance
            return flow[:, behind:]

        return velocity

    def _integrate(self, state: Tensor, velocity: Callable[[Tensor, Tensor], Tensor]) -> Generator[None, None, Tensor]:
        """Runge and Kutta's 3/8 rule, as in the published solver."""
        for number, (start, end) in enumerate(pairwise(self._flow.times(state.device))):
            if number:
                yield
            step = end - start
            k1 = velocity(start, state)
            k2 = velocity(start + step / 3, state + step * k1 / 3)
            k3 = velocity(start + step * 2 / 3, state + step * (k2 - k1 / 3))
            k4 = velocity(end, state + step * (k1 - k2 + k3))
            state = state + step * (k1 + 3 * (k2 + k3) + k4) / 8
        return state


class KnownVoices(nn.Module):
    """A speaker encoder that encodes each reference once.

    The published model encodes the voice's reference speech anew in each of the 36 evaluations of each window; what comes
    out depends on nothing else.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self._known: dict[str, Tensor] = {}
        self._voice = ""

    def select(self, voice: str) -> None:
        """From now on every reference is this voice's. Empty: encode what is given."""
        self._voice = voice

    def forward(self, reference: Tensor) -> Tensor:
        """The encoding, `[batch, enc_dim]`."""
        if not self._voice:
            return self._encode(reference)
        if self._voice not in self._known:
            self._known[self._voice] = self._encode(reference)
        return self._known[self._voice]

    def _encode(self, reference: Tensor) -> Tensor:
        encoded: Tensor = self.encoder(reference)
        return encoded
