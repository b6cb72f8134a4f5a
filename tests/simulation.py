"""A world that does everything to a session that clients, engines and clocks can do, in any order.

`World.step(a, b, c)` turns three numbers into one input, so that hypothesis (which shrinks numbers well) and a plain random
generator (which is fast) drive the same thing. After each step the laws of the design are checked; the oracle checks
what crosses the wire.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from tests.simulation_laws import WINDOW, Laws
from vivavoce.engine_api import (
    Capabilities,
    FunctionCallArguments,
    FunctionCallStarted,
    GenerationDone,
    GenerationFailed,
    Mark,
    OutputAudio,
    OutputText,
    OutputTranscript,
    SpeechScore,
    TranscriptDelta,
    TranscriptDone,
    TranscriptFailed,
    TurnScore,
    WordsHeard,
)
from vivavoce.protocol.client_events import (
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    OutputAudioBufferClear,
    ResponseAudioOutputParams,
    ResponseAudioParams,
    ResponseCancel,
    ResponseCreate,
    ResponseCreateParams,
    SessionUpdate,
)
from vivavoce.protocol.config import SessionConfig
from vivavoce.protocol.objects import (
    PCMU,
    FunctionCall,
    FunctionCallOutput,
    InputAudioPart,
    InputTextPart,
    ItemReference,
    Message,
    OutputTextPart,
    RateLimit,
)
from vivavoce.session.boundary import (
    Admit,
    Admitted,
    Disconnected,
    Drain,
    Input,
    Output,
    Refused,
    Rejected,
    Setup,
    Tick,
)
from vivavoce.session.session import Session


class Asked(Session):
    """A session that is asked after every input, also after one that changes nothing, whether all has followed."""

    def handle(self, input: Input, now: float) -> list[Output]:
        outputs = super().handle(input, now)
        self._settle()
        assert self._state.drain() == []
        assert self.deadline() == self._next_due()
        return outputs


UPDATES: tuple[dict[str, Any], ...] = (
    {"audio": {"input": {"turn_detection": None}}},
    {"audio": {"input": {"turn_detection": {"type": "server_vad"}}}},
    {"audio": {"input": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 0, "threshold": 0.9}}}},
    {"audio": {"input": {"turn_detection": {"type": "server_vad", "interrupt_response": False}}}},
    {"audio": {"input": {"turn_detection": {"type": "server_vad", "create_response": False}}}},
    {"audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000, "prefix_padding_ms": 0}}}},
    {"audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "high"}}}},
    {"audio": {"input": {"format": {"type": "audio/pcmu"}}}},
    {"audio": {"input": {"format": {"type": "audio/pcm"}}}},
    {"audio": {"input": {"transcription": {"model": "whisper-1"}}}},
    {"audio": {"input": {"transcription": None}}},
    {"audio": {"output": {"format": {"type": "audio/pcma"}, "voice": "ash"}}},
    {"instructions": "Be brief.", "max_output_tokens": 40},
    {"max_output_tokens": None, "truncation": "disabled"},
    {"truncation": {"type": "retention_ratio", "retention_ratio": 0.5, "token_limits": {"post_instructions": 30}}},
    {"output_modalities": ["text"]},
    {"output_modalities": ["audio"]},
    {"tools": [{"type": "function", "name": "f"}], "tool_choice": {"type": "function", "name": "f"}},
    {"tools": None, "tool_choice": None},
    {"audio": {"input": {"turn_detection": {"type": "nonsense"}}}},
    {"type": "transcription"},
    {"type": "realtime"},
    {"nonsense": 1},
)


class World(Laws):
    """One session and everything around it."""

    def __init__(
        self,
        *,
        rate_limited: bool = False,
        listens: bool = True,
        drafts: bool = False,
        confirms: bool = False,
        see: Callable[[Output], None] | None = None,
    ) -> None:
        capabilities = Capabilities(
            transcribes=True, listens=listens, scores_turns=listens, drafts=drafts, context_tokens=400
        )
        self.setup = Setup(
            seed="w",
            config=SessionConfig(model="m"),
            capabilities=capabilities,
            expires_at=1,
            duration_seconds=10_000.0,
            max_items=60,
            engine_silence_seconds=50.0,
            rate_limited=rate_limited,
            draft_after_ms=150,
            speak_late_outputs=confirms,
            confirm_barge_in_ms=300 if confirms else None,
        )
        super().__init__(Asked(self.setup), see)
        self.now = 0.0
        self.inputs: list[tuple[float, Input]] = []
        self.outputs: list[list[Output]] = []
        self.half_heard: set[str] = set()
        self.calls = 0
        self.take(self.session.open(0.0))

    # --- driving ---

    def step(self, a: int, b: int, c: int) -> None:
        """One input out of three numbers."""
        actions = (
            self._append, self._append, self._append, self._score, self._score, self._score, self._score, self._control,
            self._item, self._item, self._respond, self._respond, self._output, self._output, self._output, self._output,
            self._finish, self._transcript, self._update, self._wait, self._rare, self._talk,
        )  # fmt: skip
        event = actions[a % len(actions)](b, c)
        if event is not None:
            self.handle(event)

    def handle(self, event: Input) -> list[Output]:
        """Give the session an input and check what comes of it."""
        self.inputs.append((self.now, event))
        paused = self.session._interrupting.undecided
        if isinstance(event, GenerationFailed) and self.drafts.pop(event.response_id, None):
            self.drafts_dropped += 1  # unless it is confirmed and waits for the account, which answers at once
        outputs = self.session.handle(event, self.now)
        self.outputs.append(outputs)
        self.take(outputs, paused=paused)
        for output in outputs:
            if isinstance(output, Admit):
                limits = (RateLimit("requests", 10, 9, 1.0),)
                answer: Input = Admitted(output.response_id, limits)
                if output.tokens % 5 == 4:
                    answer = Refused(output.response_id, "Rate limit reached.", limits)
                self.handle(answer)
        return outputs

    # --- inputs ---

    def _append(self, b: int, c: int) -> Input:
        return self._samples((b * 97 + c) % 3000)

    def _talk(self, b: int, c: int) -> Input | None:
        """Words and then a silence, each of a few windows."""
        words, silence = 2 + b % 8, c % 20
        self.handle(self._samples((words + silence) * WINDOW))
        for loud in [0.9] * words + [0.02] * silence:
            if self.scores_due:
                self.handle(SpeechScore(self.scores_due.pop(0), loud))
        return None

    def _samples(self, n_samples: int) -> Input:
        samples = range(self.counter, self.counter + n_samples)
        audio = struct.pack(f"<{n_samples}H", *(value & 0xFFFF for value in samples))
        self.counter += n_samples
        return InputAudioBufferAppend(audio=audio)

    def _score(self, b: int, c: int) -> Input | None:
        if not self.scores_due:
            return None
        loud = (0.02, 0.4, 0.6, 0.97)[b % 4]
        for _ in range(min(c % 24, len(self.scores_due) - 1)):
            self.handle(SpeechScore(self.scores_due.pop(0), loud))
        return SpeechScore(self.scores_due.pop(0), loud)

    def _control(self, b: int, c: int) -> Input:
        return (InputAudioBufferCommit(), InputAudioBufferClear(), OutputAudioBufferClear(), InputAudioBufferCommit())[b % 4]

    def _item(self, b: int, c: int) -> Input:
        known = self.items[c % len(self.items)]
        match b % 11:
            case 0 | 1:
                text = Message(role="user", content=(InputTextPart("hello " * (c % 9)),))
                return ConversationItemCreate(item=text, previous_item_id=(None, "root", known)[c % 3])
            case 2:
                spoken = Message(role="user", content=(InputAudioPart(audio=bytes(c % 5000)),))
                return ConversationItemCreate(item=spoken)
            case 3:
                call = FunctionCall(call_id=f"c{c % 5}", name="f", arguments="{}")
                return ConversationItemCreate(item=call)
            case 4:
                return ConversationItemCreate(item=FunctionCallOutput(call_id=f"c{c % 5}", output="4"))
            case 5:
                return ConversationItemCreate(item=Message(id=known, role="assistant", content=(OutputTextPart("hi"),)))
            case 6:
                return ConversationItemDelete(item_id=known)
            case 7:
                return ConversationItemRetrieve(item_id=known)
            case _:
                return ConversationItemTruncate(
                    item_id=self.items[-1 - c % min(3, len(self.items))], content_index=b % 2, audio_end_ms=c * 7
                )

    def _respond(self, b: int, c: int) -> Input:
        known = self.responses[c % len(self.responses)]
        match b % 8:
            case 0 | 1:
                return ResponseCreate()
            case 2:
                params = ResponseCreateParams(conversation="none", output_modalities=("text",), metadata={"k": "v"})
                return ResponseCreate(response=params)
            case 3:
                reference = ItemReference(id=self.items[c % len(self.items)])
                return ResponseCreate(response=ResponseCreateParams(conversation="none", input=(reference,)))
            case 4:
                output = ResponseAudioOutputParams(format=PCMU, voice="sage")
                return ResponseCreate(
                    response=ResponseCreateParams(audio=ResponseAudioParams(output), max_output_tokens=1 + c % 30)
                )
            case 5:
                return ResponseCancel()
            case 6:
                return ResponseCancel(event_id=f"mine_{c}", response_id=known)
            case _:
                return ResponseCreate(response=ResponseCreateParams(conversation="elsewhere"))

    def _output(self, b: int, c: int) -> Input:
        known = self.responses[-1 - c % min(3, len(self.responses))]
        match b % 6:
            case 0:
                return OutputText(known, "some text " * (c % 4))
            case 1 | 2:
                return OutputTranscript(known, "some words ", (Mark(4, c * 10), Mark(10, c * 20)))
            case 3 | 4:
                return OutputAudio(known, bytes(2 * (c % 4000)))
            case _:
                self.calls += c % 2
                self.handle(FunctionCallStarted(known, f"call_{self.calls}", "f"))
                return FunctionCallArguments(known, f"call_{self.calls}", '{"a": 1}')

    def _finish(self, b: int, c: int) -> Input:
        known = self.responses[-1 - c % min(3, len(self.responses))]
        if b % 4 == 0:
            return GenerationFailed(known, "engine_timeout", "It took too long.")
        return GenerationDone(known, ("completed", "completed", "max_output_tokens", "content_filter")[b % 4])

    def _transcript(self, b: int, c: int) -> Input:
        """A transcriber keeps its promise that deltas, joined, begin the transcript; all else it may do at any time."""
        known = self.items[-1 - c % min(4, len(self.items))]
        if c % 2 and self.listened and (heard := list(self.listened)[-1]) not in self.items:
            words = ("uh-huh ", "stop ", "")[b % 3]
            return (WordsHeard(heard, words), TranscriptDone(heard, words), TranscriptFailed(heard, "x", "y"))[c // 2 % 3]
        first_words = TranscriptDelta(known, "" if known in self.half_heard else "he")
        if b % 3 == 0:
            self.half_heard.add(known)
        return (first_words, TranscriptDone(known, "hello"), TranscriptFailed(known, "x", "y"))[b % 3]

    def _update(self, b: int, c: int) -> Input:
        update = UPDATES[(b + c) % len(UPDATES)]
        self.reformatted |= "audio/pcmu" in str(update)
        return SessionUpdate(event_id=f"u{c}", session=update)

    def _wait(self, b: int, c: int) -> Input:
        self.now += (0.01, 0.5, 6.0, 40.0)[b % 4]
        if self.turns_due and c % 2:
            asked = self.turns_due.pop(0)
            return TurnScore(asked.item_id, asked.end_samples, (c % 11) / 10)
        return Tick()

    def _rare(self, b: int, c: int) -> Input:
        match (b * 31 + c) % 200:
            case 0:
                return Disconnected()
            case 1:
                return Drain()
            case 2:
                self.now += 20_000
                return Tick()
            case _:
                return Rejected("invalid_json", "Not JSON.", None, None)
