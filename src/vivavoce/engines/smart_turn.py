"""Turn ends by Smart Turn: `ScoreTurn` in, one `TurnScore` out.

Smart Turn (v3, BSD-2-Clause) is Whisper-tiny's encoder with a classifier on top. It hears the last 8 s of a turn, intonation
and all, and says how likely the speaker has finished; it never sees words. Its ONNX file lies in the `pipecat-ai` package,
whose code is not imported.

    event loop   submit(ScoreTurn) ──▶ the session's place for one request ──▶ line of sessions
    worker       line ──▶ bytes to 16 kHz, log-mel, network ──▶ emit(TurnScore)

One worker thread serves all sessions in the order in which they asked, on one core. A session that asks again before it was
served has a speaker who went on: only the newer request is worth the work, and it takes the older one's place.

Options: `model`, the path of another Smart Turn v3 file.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final

import numpy as np
from msgspec import Struct

from vivavoce.audio import to_pcm
from vivavoce.engine_api import Capabilities, Emit, EngineCommand, ScoreTurn, TurnScore
from vivavoce.engines.log_mel import BANDS, RATE_HZ, STEP_SAMPLES, Floats, log_mel, normalized
from vivavoce.protocol.errors import EngineError, SettingsError
from vivavoce.registry import read_options

logger = logging.getLogger(__name__)

PACKAGE: Final = "pipecat-ai"
FOLDER: Final = "pipecat/audio/turn/smart_turn/data/"
REMEDY: Final = "Run: pip install 'vivavoce[smart-turn]'"
HEARD_SAMPLES: Final = 8 * RATE_HZ
"""What the network hears. A shorter turn has silence before it."""

Network = Callable[[Floats], float]
"""Log-mel features of shape (80, 800) in, the probability out."""


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """The table `[engines.smart_turn]`."""

    model: str = ""
    """Path of a Smart Turn v3 ONNX file. Empty: the one in `pipecat-ai`."""


class SmartTurn:
    """Smart Turn as an engine that only scores turns."""

    capabilities = Capabilities(speaks=False, scores_turns=True)

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Raises `SettingsError` where the model's file is not there."""
        model = read_options(options, Options, "smart_turn").model
        self._model: Final = Path(model) if model else packaged_model()
        if not self._model.is_file():
            raise SettingsError(f"engines.smart_turn.model: there is no file {self._model}.")
        self._line: Final[SimpleQueue[SmartTurnSession | None]] = SimpleQueue()
        self._worker: Thread | None = None

    async def start(self) -> None:
        """Load the network and use it once: half a second. Raises `EngineError`."""
        network = await asyncio.to_thread(_loaded, self._model)
        self._worker = Thread(target=_score_all, args=(self._line, network), name="smart-turn", daemon=True)
        self._worker.start()

    def open(self, emit: Emit) -> SmartTurnSession:
        """Begin a session. `emit` is called from the worker thread."""
        return SmartTurnSession(emit, self._line)

    async def close(self) -> None:
        """Stop the worker once it has scored what it is at."""
        self._line.put(None)
        if self._worker:
            await asyncio.to_thread(self._worker.join)


class SmartTurnSession:
    """One session's side."""

    def __init__(self, emit: Emit, line: SimpleQueue[SmartTurnSession | None]) -> None:
        self._emit = emit
        self._line = line
        self._request: deque[ScoreTurn] = deque(maxlen=1)
        """The newest one, until the worker takes it. Its operations are atomic."""
        self._closed = False

    def submit(self, command: EngineCommand) -> None:
        """Take a `ScoreTurn`; ignore all else."""
        if isinstance(command, ScoreTurn):
            self._request.append(command)
            self._line.put(self)

    def close(self) -> None:
        """Drop what waits."""
        self._closed = True
        self._request.clear()

    def score(self, network: Network) -> None:
        """Answer the request. For the worker; nothing escapes, because the thread is everybody's."""
        try:
            command = self._request.popleft()
        except IndexError:
            return  # Closed; or this is the place of a request that a newer one replaced, which was answered here already.
        try:
            probability = network(features(command))
            if not self._closed:
                self._emit(TurnScore(command.item_id, command.end_samples, probability))
        except Exception:
            logger.exception("a turn was not scored: its end is decided by waiting")


def packaged_model() -> Path:
    """The file in `pipecat-ai`, found without importing it. Raises `SettingsError`."""
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        raise SettingsError(f"smart_turn needs the package {PACKAGE}, which has the model in it. {REMEDY}") from None
    names = sorted(str(file) for file in files if str(file).startswith(FOLDER) and file.suffix == ".onnx")
    if not names:
        raise SettingsError(f"This version of {PACKAGE} has no Smart Turn model in it: set engines.smart_turn.model.")
    return Path(str(metadata.distribution(PACKAGE).locate_file(names[-1])))


def features(command: ScoreTurn) -> Floats:
    """What the network hears of a turn, shape (80, 800): its last 8 s, at the end of the line."""
    pcm = to_pcm(command.audio, command.format.type, RATE_HZ)
    samples = np.frombuffer(pcm, "<i2")[-HEARD_SAMPLES:]
    line = np.zeros(HEARD_SAMPLES, np.float32)
    line[HEARD_SAMPLES - samples.size :] = samples
    return log_mel(normalized(line / np.float32(32768)))


def _score_all(line: SimpleQueue[SmartTurnSession | None], network: Network) -> None:
    """The worker: score until told to stop."""
    while (session := line.get()) is not None:
        session.score(network)


def _loaded(model: Path) -> Network:
    """The network, used once. Raises `EngineError`."""
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError("engine_start_failed", f"It needs onnxruntime ({error}). {REMEDY}") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

        def probability(spectrogram: Floats) -> float:
            """The graph ends with a sigmoid, though it calls its output "logits"."""
            (scores,) = session.run(None, {"input_features": spectrogram[np.newaxis]})
            return float(scores[0, 0])

        probability(np.zeros((BANDS, HEARD_SAMPLES // STEP_SAMPLES), np.float32))
    except Exception as error:  # onnxruntime's own exceptions have no common class but this.
        raise EngineError("engine_start_failed", f"{model} is not a Smart Turn v3 model: {error}") from None
    return probability
