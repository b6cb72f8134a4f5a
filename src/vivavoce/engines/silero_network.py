"""Silero VAD's 16 kHz network in numpy, for a batch of streams at once.

    576 samples ─ mirror 64 at the end ─ 4 frames of 256, 128 apart ─ Fourier magnitudes (129)
        ─ conv 3 → 128 ─ conv 3, stride 2 → 64 ─ conv 3, stride 2 → 64 ─ conv 3 → 128 ─ LSTM cell 128 ─ 1 × 1 ─ sigmoid

A window is 64 samples of context and 512 new ones, 32 ms. What a stream carries from window to window is the LSTM's state;
the context is the caller's. Every step is one matrix product for the whole batch, so a window in a batch of 128 costs a
fraction of a window alone.

Weights: `silero_vad.npz`, by Silero Team, MIT (see `silero_vad.LICENSE`), made by `tools/silero_weights.py`.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]

RATE_HZ = 16_000
CONTEXT_SAMPLES = 64
NEW_SAMPLES = 512
WINDOW_SAMPLES = CONTEXT_SAMPLES + NEW_SAMPLES
STATE_SIZE = 128

_FRAMES = 4
_FRAME_SAMPLES = 256
_HOP_SAMPLES = 128
_MIRRORED_SAMPLES = (_FRAMES - 1) * _HOP_SAMPLES + _FRAME_SAMPLES - WINDOW_SAMPLES
_HALF = np.float32(0.5)
_BINS = _FRAME_SAMPLES // 2 + 1


class SileroNetwork:
    """The network and its weights. Stateless: threads may share one."""

    def __init__(self) -> None:
        """Load the packaged weights: some milliseconds."""
        with (files(__package__) / "silero_vad.npz").open("rb") as archive, np.load(archive) as weights:
            self._fourier = _columns(weights["stft"])
            self._convs = [(_columns(weights[f"conv{n}_weight"]), weights[f"conv{n}_bias"]) for n in range(4)]
            # One product for input and hidden state. The gates stand in the order input, forget, cell, output. A sigmoid
            # is made from the tanh of half its argument, and halving is exact, so one tanh serves all four.
            lstm = np.concatenate([weights["lstm_input_weight"], weights["lstm_hidden_weight"]], axis=1)
            halved = np.repeat(np.array([_HALF, _HALF, 1, _HALF], np.float32), STATE_SIZE)
            self._lstm = np.ascontiguousarray(lstm.T * halved)
            self._lstm_bias = (weights["lstm_input_bias"] + weights["lstm_hidden_bias"]) * halved
            self._output = weights["output_weight"].reshape(STATE_SIZE)
            self._output_bias = weights["output_bias"]

    def step(self, windows: NDArray[np.int16] | Floats, state: Floats) -> tuple[Floats, Floats]:
        """Score one window of each stream.

        `windows` is (streams, 576), in units of a 16-bit step; `state` is (2, streams, 128), zeros for a new stream. Returns
        the probabilities of speech, (streams,), and the next state.
        """
        hidden, cell = state
        gates = np.concatenate([self._encode(windows), hidden], axis=1) @ self._lstm
        gates += self._lstm_bias
        np.tanh(gates, gates)
        let_in, keep, new, show = (gates[:, n * STATE_SIZE : (n + 1) * STATE_SIZE] for n in range(4))
        following = np.empty_like(state)
        following[1] = _sigmoid(keep) * cell + _sigmoid(let_in) * new
        following[0] = _sigmoid(show) * np.tanh(following[1])
        logits = np.maximum(following[0], 0) @ self._output + self._output_bias
        return _sigmoid(np.tanh(logits * _HALF)), following

    def _encode(self, windows: NDArray[np.int16] | Floats) -> Floats:
        """What the convolutions make of each window: (streams, 128)."""
        streams = windows.shape[0]
        seen = self._magnitudes(windows)
        (conv0, bias0), (conv1, bias1), (conv2, bias2), (conv3, bias3) = self._convs
        wide = np.zeros((streams, 1 + _FRAMES, bias0.size), np.float32)  # a frame of zeros before: the padding
        wide[:, 1:] = _relu(_rows(seen, _FRAMES, conv0.shape[0], _BINS) @ conv0, bias0).reshape(streams, _FRAMES, -1)
        # Strides of 2 leave two frames, then one. Taps that would meet nothing but padding are left out.
        two = _relu(_rows(wide.reshape(streams, -1), 2, conv1.shape[0], 2 * bias0.size) @ conv1, bias1)
        one = _relu(two.reshape(streams, -1) @ conv2[bias1.size :], bias2)
        return _relu(one @ conv3[bias2.size : 2 * bias2.size], bias3)

    def _magnitudes(self, windows: NDArray[np.int16] | Floats) -> Floats:
        """Fourier magnitudes of the four frames, with a frame of zeros on either side: (streams, 6 x 129)."""
        streams = windows.shape[0]
        samples = np.empty((streams, WINDOW_SAMPLES + _MIRRORED_SAMPLES), np.float32)
        np.multiply(windows, np.float32(1 / 32768), samples[:, :WINDOW_SAMPLES])
        samples[:, WINDOW_SAMPLES:] = samples[:, WINDOW_SAMPLES - 2 : WINDOW_SAMPLES - 2 - _MIRRORED_SAMPLES : -1]
        spectrum = _rows(samples, _FRAMES, _FRAME_SAMPLES, _HOP_SAMPLES) @ self._fourier
        np.square(spectrum, spectrum)
        magnitudes = np.zeros((streams, _FRAMES + 2, _BINS), np.float32)
        spectrum = spectrum.reshape(streams, _FRAMES, 2 * _BINS)
        inner = magnitudes[:, 1:-1]
        np.add(spectrum[:, :, :_BINS], spectrum[:, :, _BINS:], inner)
        np.sqrt(inner, inner)
        return magnitudes.reshape(streams, -1)


def _columns(weight: Floats) -> Floats:
    """A convolution's weight (out, in, taps) as the matrix that a row of (taps, in) is multiplied with."""
    return np.ascontiguousarray(weight.transpose(2, 1, 0).reshape(-1, weight.shape[0]))


def _rows(lines: Floats, count: int, size: int, stride: int) -> Floats:
    """From each line, `count` stretches of `size` that begin `stride` apart, one below the other."""
    strides = (lines.strides[0], stride * lines.itemsize, lines.itemsize)
    return np.ndarray((lines.shape[0], count, size), lines.dtype, lines, 0, strides).reshape(-1, size)


def _relu(values: Floats, bias: Floats) -> Floats:
    """`values` plus bias, cut off below zero, in place."""
    values += bias
    return np.maximum(values, 0, out=values)


def _sigmoid(tanh_of_half: Floats) -> Floats:
    """The logistic function of x, given tanh(x / 2): numpy has a fast tanh, and it cannot overflow."""
    return tanh_of_half * _HALF + _HALF
