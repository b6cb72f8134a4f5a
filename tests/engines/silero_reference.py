"""Silero's network as published, run by onnxruntime, and ours: their scores of one stream."""

from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile
from threadpoolctl import threadpool_limits

from tools.silero_weights import GRAPH
from vivavoce.engines.silero_network import CONTEXT_SAMPLES, NEW_SAMPLES, WINDOW_SAMPLES, SileroNetwork

AUDIO = Path(__file__).parents[3] / "shared" / "audio"
PUBLISHED = Path(str(distribution("silero-vad").locate_file(GRAPH)))


@pytest.fixture(scope="module")
def network():
    """Ours."""
    with threadpool_limits(1, user_api="blas"):  # as the engine does
        yield SileroNetwork()


@pytest.fixture(scope="module")
def published():
    """The published graph, run by onnxruntime: scores of one stream, window by window."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    graph = onnxruntime.InferenceSession(PUBLISHED, options)

    def scores(samples):
        state, rate_hz = np.zeros((2, 1, 128), np.float32), np.array(16_000, np.int64)
        probabilities = []
        for window in windows_of(samples):
            line = window[np.newaxis].astype(np.float32) / 32768
            probability, state = graph.run(None, {"input": line, "state": state, "sr": rate_hz})
            probabilities.append(float(probability[0, 0]))
        return np.array(probabilities)

    return scores


def windows_of(samples):
    """Every whole window of 16 kHz audio, with its context; silence before the first."""
    line = np.concatenate([np.zeros(CONTEXT_SAMPLES, np.int16), samples])
    return [line[at : at + WINDOW_SAMPLES] for at in range(0, len(samples) - NEW_SAMPLES + 1, NEW_SAMPLES)]


def scores_of(network, samples):
    """The network's scores of one stream of 16 kHz audio."""
    state = np.zeros((2, 1, 128), np.float32)
    probabilities = []
    for window in windows_of(samples):
        probability, state = network.step(window[np.newaxis], state)
        probabilities.append(float(probability[0]))
    return np.array(probabilities)


def minute():
    """Somebody speaks for a minute, with pauses. 16 kHz."""
    samples, rate_hz = soundfile.read(AUDIO / "silero-minute.wav", dtype="int16")
    assert rate_hz == 16_000
    return samples
