"""What the user said, in words, for clients that asked for it: `input_audio_transcription`."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from vivavoce.audio import SAMPLES_PER_MS
from vivavoce.engine_api import Transcribe, TranscriptDelta, TranscriptDone, TranscriptFailed
from vivavoce.protocol.config import Transcription, TranscriptionConfig
from vivavoce.protocol.objects import DurationUsage, LogProb, TranscriptionError
from vivavoce.protocol.server_events import (
    InputAudioTranscriptionCompleted,
    InputAudioTranscriptionDelta,
    InputAudioTranscriptionFailed,
)
from vivavoce.session.conversation import Clip
from vivavoce.session.state import State


class _Waiting:
    """A transcript that the client waits for."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.sent = ""


class Transcripts:
    """The transcripts of one session."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._waiting: dict[str, _Waiting] = {}
        """Items whose transcript the client waits for."""

    def begin(self, item_id: str, clip: Clip) -> None:
        """The item was committed: its transcript follows, if the client wants one."""
        if self._state.audio_input.transcription is None and not isinstance(self._state.config, TranscriptionConfig):
            return
        self._waiting[item_id] = _Waiting(clip.samples / SAMPLES_PER_MS / 1000)
        if not clip.audio:
            self.on_done(TranscriptDone(item_id, ""))
            return
        if not self._state.setup.capabilities.transcribes:
            message = "This server's engine does not transcribe."
            self.on_failed(TranscriptFailed(item_id, "transcription_unavailable", message))
            return
        self.ask(item_id, clip)

    def ask(self, item_id: str, clip: Clip) -> None:
        """Ask the engine for the words. The client hears of them only if it waits."""
        wish = self._state.audio_input.transcription or Transcription()
        self._state.command(
            Transcribe(
                item_id=item_id,
                audio=clip.audio,
                format=clip.format,
                model=wish.model or "",
                language=wish.language or "",
                prompt=wish.prompt or "",
                logprobs=bool(self._state.config.include),
            )
        )

    def forget(self, item_id: str) -> bool:
        """The item was deleted: nobody waits for its transcript. True if somebody did."""
        return self._waiting.pop(item_id, None) is not None

    def on_delta(self, event: TranscriptDelta) -> None:
        """More words of the user."""
        if (waiting := self._waiting.get(event.item_id)) and event.text:
            waiting.sent += event.text
            logprobs = self._logprobs(event.logprobs)
            self._state.send(InputAudioTranscriptionDelta(item_id=event.item_id, delta=event.text, logprobs=logprobs))

    def on_done(self, event: TranscriptDone) -> None:
        """All words of the user. Those that no delta brought come as a last one: joined, deltas are the transcript."""
        if (waiting := self._waiting.get(event.item_id)) is None:
            return
        if event.text.startswith(waiting.sent):
            self.on_delta(TranscriptDelta(event.item_id, event.text[len(waiting.sent) :]))
        del self._waiting[event.item_id]
        if entry := self._state.conversation.get(event.item_id):
            entry.set_transcript(event.text)
        self._state.send(
            InputAudioTranscriptionCompleted(
                item_id=event.item_id,
                transcript=event.text,
                usage=DurationUsage(seconds=waiting.seconds),
                logprobs=self._logprobs(event.logprobs),
            )
        )

    def on_failed(self, event: TranscriptFailed) -> None:
        """No words."""
        if self._waiting.pop(event.item_id, None) is not None:
            error = TranscriptionError(type="transcription_error", code=event.code, message=event.message)
            self._state.send(InputAudioTranscriptionFailed(item_id=event.item_id, error=error))

    def _logprobs(self, logprobs: tuple[LogProb, ...]) -> tuple[LogProb, ...] | UnsetType:
        return logprobs if logprobs and self._state.config.include else UNSET
