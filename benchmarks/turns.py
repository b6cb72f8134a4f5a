"""What draft responses save: `python -m benchmarks.turns`, a minute.

Fifty recorded turns (ten recordings, in five voices each) are spoken to a cascade of parts that only wait: a transcriber of
300 ms, a chat model whose first token takes 200 ms, a synthesizer whose first audio takes 150 ms. Silero is the real one.
The speaker stops where the server says that the turn is over, waits for the answer, and then goes on. The clock is a virtual
one, so a busy machine changes nothing, and what the server itself costs is not in the figures. The recordings are read
sentences; a minute of somebody who pauses often is the hard case beside them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from statistics import median, quantiles
from typing import Any, Final

import numpy as np
from msgspec import Struct

from benchmarks.serving import RECORDINGS, recordings
from tests.engines.fake_clock import run_on_fake_clock
from vivavoce.audio import PCM_SAMPLE_BYTES, SAMPLE_HZ, Resampler, Samples, ms_to_samples
from vivavoce.client.recording import Recording, read_recording, resampled
from vivavoce.engine_api import Capabilities, DetectSpeech, Emit, EngineCommand, EngineSession, Generate, SpeechScore
from vivavoce.engines.cascade import Cascade
from vivavoce.engines.parts import ChatDone, ChatEvent, Hints, Recognition, Speech, TextDelta, Transcript, Utterance
from vivavoce.engines.silero_network import CONTEXT_SAMPLES, NEW_SAMPLES, RATE_HZ, STATE_SIZE, SileroNetwork
from vivavoce.protocol.client_events import InputAudioBufferAppend, SessionUpdate
from vivavoce.protocol.config import SessionConfig
from vivavoce.protocol.objects import AudioFormat
from vivavoce.protocol.server_events import (
    InputAudioBufferSpeechStopped,
    ResponseDone,
    ResponseOutputAudioDelta,
    ServerEvent,
)
from vivavoce.registry import Ensemble
from vivavoce.runner import Runner
from vivavoce.session.boundary import Setup

TRANSCRIBER_SECONDS: Final = 0.3
FIRST_TOKEN_SECONDS: Final = 0.2
FIRST_AUDIO_SECONDS: Final = 0.15
SAME_TURN_MS: Final = 100
CHUNK_MS: Final = 20
CHUNK: Final = ms_to_samples(CHUNK_MS)
PITCHES: Final = (25, 23, 27, 24, 26)
"""A voice is a recording stretched to so many 25ths of its length."""
DETECTION: Final[dict[str, tuple[dict[str, Any], int]]] = {
    "server_vad, 500 ms": ({"type": "server_vad", "silence_duration_ms": 500}, 500),
    "server_vad, 300 ms": ({"type": "server_vad", "silence_duration_ms": 300}, 300),
    "semantic_vad, auto": ({"type": "semantic_vad", "eagerness": "auto"}, 1000),
}
"""Turn detections, and the silence that ends a turn in each."""


# --- parts that only wait ---


class _Ear:
    """Takes its time, and hears nothing in particular."""

    def __init__(self) -> None:
        self.recognised = 0

    async def start(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to free."""

    def recognize(self, hints: Hints, on_delta: Callable[[Transcript], None]) -> Recognition:
        return _Recognition(self)


class _Recognition:
    def __init__(self, ear: _Ear) -> None:
        self._ear = ear

    def feed(self, audio: bytes, format: AudioFormat) -> None:
        """Whatever it is."""

    async def finish(self) -> Transcript:
        self._ear.recognised += 1
        await asyncio.sleep(TRANSCRIBER_SECONDS)
        return Transcript("so they say")

    def cancel(self) -> None:
        """It only waits."""


class _Mind:
    context_tokens = 100_000

    async def start(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to free."""

    async def reply(self, request: Generate) -> AsyncIterator[ChatEvent]:
        await asyncio.sleep(FIRST_TOKEN_SECONDS)
        yield TextDelta("That may be so.")
        yield ChatDone()


class _Mouth:
    voices = ("alloy",)

    async def start(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to free."""

    async def speak(self, utterance: Utterance) -> AsyncIterator[Speech]:
        await asyncio.sleep(FIRST_AUDIO_SECONDS)
        yield Speech(bytes(SAMPLE_HZ * PCM_SAMPLE_BYTES))


class InstantSilero:
    """The real network, at once and without threads: a virtual clock waits for nobody else's."""

    capabilities = Capabilities(speaks=False)

    def __init__(self) -> None:
        self._network = SileroNetwork()

    async def start(self) -> None:
        """Loaded already."""

    async def close(self) -> None:
        """Nothing to free."""

    def open(self, emit: Emit) -> EngineSession:
        return InstantSileroSession(self._network, emit)


class InstantSileroSession:
    def __init__(self, network: SileroNetwork, emit: Emit) -> None:
        self._network = network
        self._emit = emit
        self._state = np.zeros((2, 1, STATE_SIZE), np.float32)
        self._window = np.zeros(CONTEXT_SAMPLES, np.int16)
        self._resampler = Resampler(SAMPLE_HZ, RATE_HZ)
        self._scored_samples = 0

    def submit(self, command: EngineCommand) -> None:
        assert isinstance(command, DetectSpeech)
        new = self._resampler.feed(np.frombuffer(command.audio, "<i2"))
        self._window = np.concatenate([self._window, new])
        while self._window.size >= CONTEXT_SAMPLES + NEW_SAMPLES:
            window = self._window[: CONTEXT_SAMPLES + NEW_SAMPLES]
            self._window = self._window[NEW_SAMPLES:]
            probability, self._state = self._network.step(window[np.newaxis], self._state)
            self._scored_samples += NEW_SAMPLES * SAMPLE_HZ // RATE_HZ
            self._emit(SpeechScore(self._scored_samples, float(probability[0])))

    def close(self) -> None:
        """Nothing to free."""


# --- a speaker ---


class Turn(Struct, frozen=True):
    """A turn, and how soon it was answered."""

    end_ms: int
    """Where the speech ended, from the utterance's first sample."""
    answered_ms: float
    """From there to the first audio of the answer."""


class _Speaker:
    """Speaks an utterance to a session; stops while it is answered."""

    def __init__(self, drafts: bool, detection: str) -> None:
        self._detection, self._silence_ms = DETECTION[detection]
        self.ear = _Ear()
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        config = SessionConfig(model="m")
        engine = Ensemble(Cascade.of(self.ear, _Mind(), _Mouth()), InstantSilero())
        self.asked = 0
        self.turns: list[Turn] = []
        self._waiting_ms: int | None = None
        """The end of the speech that is to be answered."""
        self._spoken = 0
        setup = Setup(
            seed="",
            config=config,
            capabilities=engine.capabilities,
            opened_at=self._began,
            expires_at=0,
            draft_after_ms=150 if drafts else None,
        )
        self._runner = Runner(
            setup,
            engine,
            send=self._hear,
            close=lambda code, reason: None,
            observers=[self],
            clock=self._loop.time,
        )

    def step(self, now: float, input: object, outputs: Any) -> None:
        """Count how often the engine was asked."""
        self.asked += sum(isinstance(output, Generate) for output in outputs)

    def end(self) -> None:
        """The session is over."""

    def _hear(self, event: ServerEvent) -> None:
        if isinstance(event, InputAudioBufferSpeechStopped):
            self._waiting_ms = event.audio_end_ms - self._silence_ms
        elif isinstance(event, ResponseOutputAudioDelta) and self._waiting_ms is not None:
            answered_ms = (self._loop.time() - self._began) * 1000 - self._waiting_ms
            # The speaker's silences lengthen the audio: they are not part of the utterance.
            self.turns.append(Turn(self._spoken, answered_ms))
        elif isinstance(event, ResponseDone):
            self._waiting_ms = None

    async def speak(self, samples: Samples) -> None:
        """The utterance, with as much silence as the answers take."""
        self._runner.start()
        self._runner.feed(
            SessionUpdate(session={"type": "realtime", "audio": {"input": {"turn_detection": self._detection}}})
        )
        for chunk in _chunks(samples):
            while self._waiting_ms is not None:
                await self._send(bytes(CHUNK * PCM_SAMPLE_BYTES))
            self._spoken += CHUNK_MS
            await self._send(chunk)
        for _ in range(3000 // CHUNK_MS):
            await self._send(bytes(CHUNK * PCM_SAMPLE_BYTES))
        self._runner.disconnected()

    async def _send(self, chunk: bytes) -> None:
        await asyncio.sleep(CHUNK_MS / 1000)  # a microphone gives its audio when it has it
        self._runner.feed(InputAudioBufferAppend(audio=chunk))


def _chunks(samples: Samples) -> Iterator[bytes]:
    for start in range(0, samples.size - CHUNK + 1, CHUNK):
        yield samples[start : start + CHUNK].astype("<i2").tobytes()


def _stretched(spoken: Sequence[Recording]) -> list[Samples]:
    """Every recording in every voice."""
    found = []
    for parts in PITCHES:
        for recording in spoken:
            wave = resampled(recording.samples.astype(np.float64), SAMPLE_HZ, SAMPLE_HZ * parts // PITCHES[0])
            found.append(np.clip(np.rint(wave), -(2**15), 2**15 - 1).astype(np.int16))
    return found


# --- the question ---


class Figures(Struct, frozen=True):
    """Answers to fifty utterances."""

    turns: list[list[Turn]]
    """Of each utterance."""
    asked: int
    """How often the cascade was asked for an answer."""
    recognised: int


async def _spoken(utterances: list[Samples], drafts: bool, detection: str) -> Figures:
    speakers = [_Speaker(drafts, detection) for _ in utterances]
    await asyncio.gather(*(speaker.speak(samples) for speaker, samples in zip(speakers, utterances, strict=True)))
    return Figures(
        [speaker.turns for speaker in speakers],
        sum(speaker.asked for speaker in speakers),
        sum(speaker.ear.recognised for speaker in speakers),
    )


def measure(detection: str, utterances: list[Samples]) -> dict[str, Any]:
    """End of speech → first audio with and without drafts, and how many drafts were for nothing."""
    without = run_on_fake_clock(_spoken(utterances, False, detection))
    with_drafts = run_on_fake_clock(_spoken(utterances, True, detection))
    pairs = [pair for turns in zip(without.turns, with_drafts.turns, strict=True) for pair in _pairs(*turns)]
    kept = sum(len(turns) for turns in with_drafts.turns)
    return {
        "turns": len(pairs),
        "without_ms": median(plain for plain, _ in pairs),
        "with_ms": median(drafted for _, drafted in pairs),
        "saved_ms": median(plain - drafted for plain, drafted in pairs),
        "saved_least_ms": quantiles([plain - drafted for plain, drafted in pairs], n=20)[0],
        "dropped_share": (with_drafts.asked - kept) / with_drafts.asked,
        "recognitions_a_turn": with_drafts.recognised / kept,
    }


def _minute() -> list[Samples]:
    """A minute of pauses, in every voice; none where the recording is not at hand."""
    file = RECORDINGS / "silero-minute.wav"
    return _stretched([read_recording(str(file))]) if file.exists() else []


def _pairs(plain: list[Turn], drafted: list[Turn]) -> Iterator[tuple[float, float]]:
    """What the same turn took in both ways. Its end may differ a little: waiting for an answer shifts Silero's windows."""
    for turn in plain:
        for other in drafted:
            if abs(turn.end_ms - other.end_ms) <= SAME_TURN_MS:
                yield turn.answered_ms, other.answered_ms


def main() -> None:
    utterances, minute = _stretched(recordings()), _minute()
    questions = [(detection, utterances, "sentences") for detection in DETECTION]
    questions += [(detection, minute, "a minute of pauses") for detection in DETECTION if minute]
    columns = ("speech", "turn detection", "turns", "without", "with drafts", "saved, median", "5 % save less than")
    print("|", " | ".join((*columns, "drafts dropped", "recognitions a turn")), "|")
    print("|---|---|---|---|---|---|---|---|---|")
    for detection, spoken, title in questions:
        found = measure(detection, spoken)
        print(
            f"| {title} | {detection} | {found['turns']} | {found['without_ms']:.0f} ms | {found['with_ms']:.0f} ms "
            f"| {found['saved_ms']:.0f} ms | {found['saved_least_ms']:.0f} ms | {found['dropped_share']:.0%} "
            f"| {found['recognitions_a_turn']:.2f} |"
        )


if __name__ == "__main__":
    main()
