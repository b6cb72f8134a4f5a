"""What `/metrics` shows, and what counts it.

With several workers, prometheus_client keeps the figures in files that all of them share: `PROMETHEUS_MULTIPROC_DIR` is set
before any worker starts, and a scrape of one worker answers for all.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import UNSET
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from vivavoce.engine_api import Generate, GenerationFailed, Listen, OutputAudio, StopGenerating, StopListening
from vivavoce.engines.figures import ENGINE_FIGURES
from vivavoce.protocol.server_events import (
    Error,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioTranscriptionFailed,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
)
from vivavoce.session.boundary import Input, Output

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_LATENCIES: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_DURATIONS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0)
_LAGS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
_LAG_SECONDS: Final = 0.25


class TurnFigures:
    """From the user's speech to the answer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.committed: Final = Counter("vivavoce_turns", "User turns committed.", registry=registry)
        self.speech_to_audio: Final = Histogram(
            "vivavoce_speech_stopped_to_first_audio_seconds",
            "From speech_stopped to the first audio of the answer.",
            buckets=_LATENCIES,
            registry=registry,
        )
        self.commit_to_audio: Final = Histogram(
            "vivavoce_commit_to_first_audio_seconds",
            "From committed to the first audio of the answer.",
            buckets=_LATENCIES,
            registry=registry,
        )
        self.drafts: Final = Counter(
            "vivavoce_drafts", "Draft responses by outcome: kept, dropped.", ["outcome"], registry=registry
        )
        self.draft_saving: Final = Histogram(
            "vivavoce_draft_saved_seconds",
            "How much earlier the first audio of an answer came because it was drafted.",
            buckets=_LATENCIES,
            registry=registry,
        )
        self.interruptions: Final = Counter(
            "vivavoce_interruptions",
            "Speech over an answer that had to prove itself, by outcome: confirmed, dismissed. Of engines that listen.",
            ["outcome"],
            registry=registry,
        )


class ResponseFigures:
    """What was answered, and what it cost."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.ended: Final = Counter("vivavoce_responses", "Responses by status.", ["status"], registry=registry)
        self.tokens: Final = Counter("vivavoce_tokens", "Tokens of responses.", ["direction"], registry=registry)
        self.failures: Final = Counter(
            "vivavoce_engine_failures", "Responses and transcriptions that failed, by code.", ["code"], registry=registry
        )
        self.seconds: Final = Histogram(
            "vivavoce_response_seconds", "From response.created to response.done.", buckets=_DURATIONS, registry=registry
        )


class Metrics:
    """Every figure, with its name and meaning."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = self._registry = CollectorRegistry()
        self.turns: Final = TurnFigures(registry)
        self.responses: Final = ResponseFigures(registry)
        self.sessions: Final = Gauge(
            "vivavoce_sessions", "Sessions that are open.", registry=registry, multiprocess_mode="livesum"
        )
        self.opened: Final = Counter(
            "vivavoce_sessions_opened", "Sessions by engine and dialect.", ["engine", "dialect"], registry=registry
        )
        self.refused: Final = Counter(
            "vivavoce_connections_refused", "Connections refused before the upgrade, by code.", ["code"], registry=registry
        )
        self.errors: Final = Counter("vivavoce_errors", "Error events by code.", ["code"], registry=registry)
        self.loop_lag: Final = Histogram(
            "vivavoce_event_loop_lag_seconds", "How late the event loop wakes up.", buckets=_LAGS, registry=registry
        )

    def page(self) -> bytes:
        """The page that Prometheus reads."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry) + generate_latest(ENGINE_FIGURES)
        shared = CollectorRegistry()
        MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        return generate_latest(shared)

    async def watch_loop(self) -> None:
        """Measure the event loop's lag until cancelled."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(_LAG_SECONDS)
            self.loop_lag.observe(max(0.0, time.monotonic() - before - _LAG_SECONDS))


class SessionMeter:
    """Counts one session: for the metrics, and for the line that the log gets when it ends. An observer of its `Runner`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics: Final = metrics
        self._speech_stopped_at: float | None = None
        self._committed_at: float | None = None
        self._created_at: dict[str, float] = {}
        self._drafts: Final = _Drafts(metrics)
        self._tentative_id: str | None = None
        """Speech over an answer that has not proved itself yet."""
        self._dismissed = False
        self.turns = 0
        self.responses = 0
        self.errors = 0

    def begin(self) -> None:
        """The session opens."""
        self._metrics.sessions.inc()

    def step(self, now: float, input: Input | None, outputs: Sequence[Output]) -> None:
        """Look at what the session says."""
        if self._drafts.open:
            self._drafts.follow(now, input, outputs)
        for output in outputs:
            count = _COUNTS.get(type(output))
            if count is not None:
                count(self, output, now)
        if self._dismissed:
            self._decide("dismissed")

    def end(self) -> None:
        """The session is over."""
        self._metrics.sessions.dec()

    def _on_generate(self, command: Generate, now: float) -> None:
        if command.response_id not in self._created_at:
            self._drafts.begin(command.response_id, now)

    def _on_listen(self, command: Listen, _: float) -> None:
        if command.words:
            self._tentative_id, self._dismissed = command.item_id, False

    def _on_stop_listening(self, command: StopListening, _: float) -> None:
        # Unless it is told anew at once, because the speaker goes on.
        self._dismissed = command.item_id == self._tentative_id

    def _on_speech_started(self, event: InputAudioBufferSpeechStarted, _: float) -> None:
        if event.item_id == self._tentative_id:
            self._decide("confirmed")

    def _decide(self, outcome: str) -> None:
        self._metrics.turns.interruptions.labels(outcome).inc()
        self._tentative_id, self._dismissed = None, False

    def _on_speech_stopped(self, _: InputAudioBufferSpeechStopped, now: float) -> None:
        self._speech_stopped_at = now

    def _on_committed(self, _: InputAudioBufferCommitted, now: float) -> None:
        self.turns += 1
        self._metrics.turns.committed.inc()
        self._committed_at = now

    def _on_audio(self, _: ResponseOutputAudioDelta, now: float) -> None:
        if self._speech_stopped_at is not None:
            self._metrics.turns.speech_to_audio.observe(now - self._speech_stopped_at)
        if self._committed_at is not None:
            self._metrics.turns.commit_to_audio.observe(now - self._committed_at)
        self._speech_stopped_at = self._committed_at = None

    def _on_response_created(self, event: ResponseCreated, now: float) -> None:
        self._created_at[event.response.id] = now

    def _on_response_done(self, event: ResponseDone, now: float) -> None:
        response = event.response
        self.responses += 1
        self._speech_stopped_at = self._committed_at = None  # It had no audio, if these still stand.
        self._metrics.responses.ended.labels(response.status).inc()
        self._metrics.responses.seconds.observe(now - self._created_at.pop(response.id, now))
        self._metrics.responses.tokens.labels("input").inc(response.usage.input_tokens)
        self._metrics.responses.tokens.labels("output").inc(response.usage.output_tokens)
        error = response.status_details.error if response.status_details else UNSET
        if error is not UNSET and error.type == "server_error":
            self._metrics.responses.failures.labels(error.code).inc()

    def _on_transcription_failed(self, event: InputAudioTranscriptionFailed, _: float) -> None:
        self._metrics.responses.failures.labels(event.error.code).inc()

    def _on_error(self, event: Error, _: float) -> None:
        self.errors += 1
        self._metrics.errors.labels(event.error.code or "none").inc()


class _Draft:
    """A response that the engine was asked for and the client has not heard of."""

    def __init__(self, asked_at: float) -> None:
        self.asked_at = asked_at
        self.audio_at: float | None = None
        self.released_at: float | None = None


class _Drafts:
    """Tells from a session's inputs and outputs which responses were drafts, what became of them, and what they saved.

        asked ───────── first audio from the engine        an engine that takes as long for a response that is asked for
          └──── release ──────── first audio without it    at the release: the saving is the shorter of both stretches

    A session has one draft at most.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics: Final = metrics
        self.open: Final[dict[str, _Draft]] = {}
        """By the id of the response."""

    def begin(self, response_id: str, now: float) -> None:
        """The engine was asked for a response that the client has not heard of."""
        self.open[response_id] = _Draft(now)

    def follow(self, now: float, input: Input | None, outputs: Sequence[Output]) -> None:
        """Look at an input and what followed."""
        for response_id, draft in list(self.open.items()):
            if draft.audio_at is None and isinstance(input, OutputAudio) and input.response_id == response_id:
                draft.audio_at = now
            if draft.released_at is None and _creates(outputs, response_id):
                draft.released_at = now
                self._metrics.turns.drafts.labels("kept").inc()
            if draft.released_at is not None and draft.audio_at is not None:
                self._metrics.turns.draft_saving.observe(min(draft.audio_at, draft.released_at) - draft.asked_at)
                del self.open[response_id]
            elif _ends(response_id, input, outputs):
                if draft.released_at is None:
                    self._metrics.turns.drafts.labels("dropped").inc()
                del self.open[response_id]


def _creates(outputs: Sequence[Output], response_id: str) -> bool:
    return any(isinstance(output, ResponseCreated) and output.response.id == response_id for output in outputs)


def _ends(response_id: str, input: Input | None, outputs: Sequence[Output]) -> bool:
    """Nothing more comes of it: it failed, was stopped, or is done."""
    if isinstance(input, GenerationFailed) and input.response_id == response_id:
        return True
    return any(
        (isinstance(output, StopGenerating) and output.response_id == response_id)
        or (isinstance(output, ResponseDone) and output.response.id == response_id)
        for output in outputs
    )


_COUNTS: Final[dict[type, Callable[[SessionMeter, Any, float], None]]] = {
    Generate: SessionMeter._on_generate,
    Listen: SessionMeter._on_listen,
    StopListening: SessionMeter._on_stop_listening,
    InputAudioBufferSpeechStarted: SessionMeter._on_speech_started,
    InputAudioBufferSpeechStopped: SessionMeter._on_speech_stopped,
    InputAudioBufferCommitted: SessionMeter._on_committed,
    ResponseOutputAudioDelta: SessionMeter._on_audio,
    ResponseCreated: SessionMeter._on_response_created,
    ResponseDone: SessionMeter._on_response_done,
    InputAudioTranscriptionFailed: SessionMeter._on_transcription_failed,
    Error: SessionMeter._on_error,
}
