"""The user's side: audio into the buffer, scores into turns, turns into items.

    append ─▶ InputAudio ─▶ DetectSpeech ─▶ (engine) ─▶ SpeechScore ─▶ TurnDetector ─▶ Onset ─▶ speech_started
                  │                                                        ├────────▶ End ───▶ speech_stopped, commit
                  └── Listen, as the turn goes on ─▶ (engine)              └────────▶ Lull ──▶ a draft (`drafting.py`)

A turn has one id from `speech_started` on; `committed` and the item carry the same one. Whoever ends a turn (silence, the
client's commit or clear, `turn_detection: null`) ends it with `speech_stopped`, so that each start has its stop.

A draft tells the engine of the turn as if it were over. Where more may have been said after all, that is taken back with
`StopListening`, and `Listen` begins anew with the turn's first sample.
"""

from __future__ import annotations

from typing import Final

from vivavoce.audio import SAMPLES_PER_MS, ms_to_samples, samples_to_ms
from vivavoce.engine_api import (
    DetectSpeech,
    Listen,
    ScoreTurn,
    SpeechScore,
    StopListening,
    TurnScore,
)
from vivavoce.protocol.config import ServerVad
from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.objects import InputAudioPart, Message
from vivavoce.protocol.server_events import (
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
)
from vivavoce.session.conversation import Clip, Entry
from vivavoce.session.drafting import MOST_DRAFTED_SAMPLES, MOST_DRAFTS
from vivavoce.session.input_audio import InputAudio
from vivavoce.session.state import State
from vivavoce.session.transcripts import Transcripts
from vivavoce.session.turns import Edge, End, Lull, Onset, Pause, Resumption, TurnDetector, is_silence

MIN_COMMIT_MS: Final = 100
MAX_APPEND_BYTES: Final = 15 * 2**20
TURN_MODEL_SAMPLES: Final = ms_to_samples(8000)
"""How much of a turn a turn-end model hears."""


class Listening:
    """Buffer and turn of one session."""

    def __init__(self, state: State, transcripts: Transcripts) -> None:
        self._state = state
        self._transcripts = transcripts
        self._audio = InputAudio(state.audio_input.format)
        self._detector = TurnDetector()
        self._detected_samples = 0
        """Audio before this position went to the speech detector."""
        self._item_id: str | None = None
        """The id that the turn or the push-to-talk recording will have, once anything was said about it."""
        self._listened_samples: int | None = None
        """Audio of `_item_id` before this position went to the engine."""
        self._offers = 0
        """How often the open turn was offered for a draft."""
        self._offered = False
        """The engine was told of the turn as if it were over."""
        self.tentative = False
        """The turn that is open may be none: the client has not heard of it (`interruption.py`)."""
        self._push_to_talk = state.turn_detection is None
        self.quiet_since: float | None = None
        """Since when nobody speaks: the moment at which the last answer was played out."""

    @property
    def speaking(self) -> bool:
        """A turn is open, and the client knows."""
        return self._detector.speaking and not self.tentative

    @property
    def item_id(self) -> str | None:
        """The id of what is being said, once anything was said about it."""
        return self._item_id

    # --- the client's events ---

    def append(self, audio: bytes) -> None:
        """`input_audio_buffer.append`."""
        if len(audio) > MAX_APPEND_BYTES:
            message = f"Invalid value for 'audio': {len(audio)} bytes; an append holds at most {MAX_APPEND_BYTES}."
            raise RequestError("invalid_value", message, "audio")
        if self._audio.n_bytes + len(audio) > self._state.setup.max_buffered_bytes:
            message = f"The input audio buffer is full: it holds {self._audio.n_bytes} bytes. Commit or clear it first."
            raise RequestError("input_audio_buffer_full", message, "audio")
        self._audio.append(audio)
        if self._push_to_talk:
            self._listen_until(self._audio.end_samples)
        else:
            self._detect()

    def commit(self) -> None:
        """`input_audio_buffer.commit`: all of it, also in the middle of a turn."""
        end = self._audio.end_samples
        buffered = end - self._audio.start_samples
        if buffered < ms_to_samples(MIN_COMMIT_MS):
            message = (
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{MIN_COMMIT_MS}ms of audio, but buffer only has {buffered / SAMPLES_PER_MS:.2f}ms of audio."
            )
            raise RequestError("input_audio_buffer_commit_empty", message)
        self._state.check_room()
        self._stop_speaking(end)
        self._commit(end)

    def clear(self) -> None:
        """`input_audio_buffer.clear`. An open turn ends, and nothing comes of it."""
        self._stop_speaking(self._audio.end_samples)
        self._forget_listening()
        self._audio.clear()
        self._state.send(InputAudioBufferCleared())

    def configure(self) -> None:
        """The configuration has changed, perhaps in the middle of a turn."""
        self._audio.change_format(self._state.audio_input.format)
        if self._push_to_talk == (self._state.turn_detection is None):
            return
        self._push_to_talk = not self._push_to_talk
        if self._push_to_talk:
            self._stop_speaking(self._audio.end_samples)
            self._detected_samples = self._audio.end_samples
        else:
            self._forget_listening()
            self._detect()

    def forget(self, item_id: str) -> None:
        """The item was deleted: nobody waits for its transcript, and the engine may forget what it heard."""
        if self._transcripts.forget(item_id) or self._state.setup.capabilities.listens:
            self._state.command(StopListening(item_id))

    # --- the engine's events ---

    def on_speech_score(self, score: SpeechScore) -> Edge | None:
        """A window's score. The edge, if it is one; `start_turn`, `go_on` or `end_turn` must follow."""
        vad = self._state.turn_detection
        if vad is None:
            return None
        setup = self._state.setup
        asks = setup.capabilities.scores_turns
        lull_ms = setup.draft_after_ms if setup.capabilities.drafts else None
        edge = self._detector.score(score.end_samples, score.probability, vad, asks=asks, lull_ms=lull_ms)
        if self._detector.speaking and not isinstance(edge, Onset | Resumption):
            if self._offered and not is_silence(score.probability, vad):
                self._take_back()
            self._listen_until(score.end_samples)
        elif edge is None and not self.tentative:
            self._audio.trim(self._wanted_from(score.end_samples))
        if isinstance(edge, Pause):
            self._ask_turn_model(edge.end_samples)
        return edge

    def on_turn_score(self, score: TurnScore) -> Edge | None:
        """The turn-end model's answer; stale where the turn has changed meanwhile."""
        vad = self._state.turn_detection
        if vad is None or score.item_id != self._item_id:
            return None
        return self._detector.turn_score(score.end_samples, score.probability, vad)

    def start_turn(self, onset: Onset, *, tentative: bool = False) -> None:
        """Somebody speaks. If the turn is tentative, nobody hears of it before `announce`."""
        self.quiet_since = None
        self._forget_listening()
        self._audio.trim(onset.start_samples)
        self._item_id = self._state.new_item_id()
        self.tentative = tentative
        if not tentative:
            self.announce()

    def announce(self) -> None:
        """The turn that is open is one: it began where it began."""
        assert self._item_id is not None
        self.tentative = False
        start_ms = samples_to_ms(self._audio.start_samples)
        self._state.send(InputAudioBufferSpeechStarted(audio_start_ms=start_ms, item_id=self._item_id))

    def dismiss(self, position_samples: int) -> None:
        """The turn that is open is none: what was heard up to a position is noise."""
        self.tentative = False
        self._forget_listening()
        self._detector.reset(position_samples)

    def ask_words(self, position_samples: int) -> None:
        """Ask the engine what was said so far."""
        assert self._item_id is not None
        self._offered = True
        audio = self._audio.between(self._audio.start_samples, position_samples)
        self._transcripts.ask(self._item_id, Clip(audio, self._audio.format))

    def offer(self, lull: Lull) -> Entry | None:
        """The turn as it would be if it were over, for a draft; `None` where that may cost more than it gives."""
        start = self._audio.start_samples
        if self._offers == MOST_DRAFTS or lull.end_samples - start > MOST_DRAFTED_SAMPLES:
            return None
        assert self._item_id is not None
        self._offers += 1
        self._offered = True
        return _said(self._item_id, Clip(self._audio.between(start, lull.end_samples), self._audio.format))

    def go_on(self, resumption: Resumption) -> None:
        """It was not over: the speaker goes on."""
        self._take_back()
        self._listen_until(resumption.end_samples)

    def end_turn(self, end: End) -> None:
        """The turn is over: it becomes an item."""
        self._state.send(self._stopped(end.end_samples))
        self._commit(end.end_samples)

    # --- silence ---

    def idle_deadline(self) -> float | None:
        """When the silence after an answer has lasted `idle_timeout_ms`."""
        if self.quiet_since is None or self._detector.speaking or self._state.answers is None:
            return None
        vad = self._state.turn_detection
        if not isinstance(vad, ServerVad) or vad.idle_timeout_ms is None:
            return None
        return self.quiet_since + vad.idle_timeout_ms / 1000

    def commit_silence(self) -> None:
        """Nobody spoke: the silence becomes an item.

        > "The empty audio will be committed to the conversation as an input_audio item and a model response will be
        > generated." (API reference, input_audio_buffer.timeout_triggered)
        """
        end = self._audio.end_samples
        self._audio.trim(end - self._idle_samples())
        self.quiet_since = None
        self._item_id = self._state.new_item_id()
        self._state.send(
            InputAudioBufferTimeoutTriggered(
                audio_start_ms=samples_to_ms(self._audio.start_samples),
                audio_end_ms=samples_to_ms(end),
                item_id=self._item_id,
            )
        )
        self._detector.reset(end)
        self._commit(end)

    # --- steps ---

    def _detect(self) -> None:
        """Send the detector what it has not heard."""
        buffer, start = self._audio, max(self._detected_samples, self._audio.start_samples)
        if buffer.end_samples > start:
            self._state.command(DetectSpeech(start, buffer.since(start), buffer.format))
            self._detected_samples = buffer.end_samples

    def _wanted_from(self, end_samples: int) -> int:
        vad = self._state.turn_detection
        assert vad is not None
        wanted = self._detector.wanted_from(end_samples, vad)
        return min(wanted, end_samples - self._idle_samples()) if self.quiet_since is not None else wanted

    def _idle_samples(self) -> int:
        vad = self._state.turn_detection
        return ms_to_samples(vad.idle_timeout_ms or 0) if isinstance(vad, ServerVad) else 0

    def _listen_until(self, position_samples: int) -> None:
        """Send the engine the turn as far as it is known to go, if it wants to hear it early."""
        if not self._state.setup.capabilities.listens:
            return
        start = self._audio.start_samples if self._listened_samples is None else self._listened_samples
        if position_samples <= start:
            return
        if self._item_id is None:
            self._item_id = self._state.new_item_id()
        audio = self._audio.between(start, position_samples)
        self._state.command(Listen(self._item_id, audio, self._audio.format, words=self.tentative))
        self._listened_samples = position_samples

    def _take_back(self) -> None:
        """What the engine was told of the turn was not all of it: it is told anew."""
        if self._offered and self._item_id is not None:
            self._state.command(StopListening(self._item_id))
            self._listened_samples = None
        self._offered = False

    def _forget_listening(self) -> None:
        if self._item_id is not None and self._listened_samples is not None:
            self._state.command(StopListening(self._item_id))
        self._begin_item()

    def _begin_item(self) -> None:
        """What is heard from now on belongs to another item."""
        self._item_id = None
        self._listened_samples = None
        self._offers = 0
        self._offered = False

    def _ask_turn_model(self, end_samples: int) -> None:
        assert self._item_id is not None
        audio = self._audio.between(end_samples - TURN_MODEL_SAMPLES, end_samples)
        self._state.command(ScoreTurn(self._item_id, end_samples, audio, self._audio.format))

    def _stop_speaking(self, end_samples: int) -> None:
        """Close the turn, if one is open: not the silence does it, but the client. Scores of its audio are stale then."""
        self._take_back()
        if self.speaking:
            self._state.send(self._stopped(end_samples))
        self.tentative = False
        self._detector.reset(end_samples)

    def _stopped(self, end_samples: int) -> InputAudioBufferSpeechStopped:
        if self._item_id is None:
            self._item_id = self._state.new_item_id()
        return InputAudioBufferSpeechStopped(audio_end_ms=samples_to_ms(end_samples), item_id=self._item_id)

    def _commit(self, end_samples: int) -> None:
        """The audio up to a position becomes a user message."""
        self._state.check_room()
        self.quiet_since = None
        item_id = self._item_id or self._state.new_item_id()
        if self._listened_samples is not None:
            rest = self._audio.between(self._listened_samples, end_samples)
            self._state.command(Listen(item_id, rest, self._audio.format, final=True))
        self._begin_item()
        clip = Clip(self._audio.take(end_samples), self._audio.format)
        previous_id = self._state.conversation.last_id
        self._state.send(InputAudioBufferCommitted(previous_item_id=previous_id, item_id=item_id))
        self._state.add_whole(_said(item_id, clip))
        self._transcripts.begin(item_id, clip)


def _said(item_id: str, clip: Clip) -> Entry:
    """A spoken turn as an item."""
    return Entry(Message(id=item_id, role="user", status="completed", content=(InputAudioPart(),)), {0: clip})
