"""One response from `response.created` to `response.done`.

    created ─▶ [ item added ─▶ [ part added ─▶ deltas ─▶ part done ] ─▶ item done ]* ─▶ done

Brackets open when an engine's first output needs them and close in reverse order; `finish` closes what is open, however
the response ends, and nothing comes after it. A message closes when the next item begins. Function calls close together
at the end, because clients answer a finished call with `response.create` at once.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Literal

from msgspec import UNSET

from vivavoce.audio import SAMPLE_HZ, Encoder, bytes_to_samples, samples_to_bytes
from vivavoce.engine_api import (
    EngineEvent,
    FunctionCallArguments,
    FunctionCallStarted,
    Mark,
    OutputAudio,
    OutputText,
    OutputTranscript,
)
from vivavoce.protocol.objects import (
    PCM,
    AudioFormat,
    FunctionCall,
    Message,
    OutputTextPart,
    Response,
    ResponseAudio,
    ResponseAudioOutput,
    ResponseError,
    SpokenPart,
    Status,
    StatusDetails,
    Usage,
    WrittenPart,
)
from vivavoce.protocol.server_events import (
    ConversationItemAdded,
    ConversationItemDone,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseCreated,
    ResponseDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
    ServerEvent,
)
from vivavoce.session.accounting import (
    CHARACTERS_PER_TOKEN,
    SPOKEN_SAMPLES_PER_TOKEN,
    character_tokens,
    spoken_tokens,
    usage_of,
)
from vivavoce.session.conversation import Clip, Conversation, Entry
from vivavoce.session.ids import Ids
from vivavoce.session.specification import ResponseSpec

MAX_DELTA_BYTES = 512 * 1024
"""A frame stays under 1 MiB, base64 included."""
MAX_DELTA_CHARACTERS = 128 * 1024
MAX_CHARACTERS = 150_000
"""A response ends here: the whole of it stands in `response.done`, at up to six bytes a character."""

Ending = Literal["completed", "cancelled", "incomplete", "failed"]
Reason = Literal["turn_detected", "client_cancelled", "max_output_tokens", "content_filter"]


class _OpenPart:
    """A content part that is growing."""

    def __init__(self, index: int, spoken: bool, format: AudioFormat) -> None:
        self.index = index
        self.spoken = spoken
        self.text: list[str] = []
        self.audio: list[bytes] = []
        self.marks: list[Mark] = []
        self.encoder = Encoder(format.type) if spoken else None


class _OpenItem:
    """An output item that is growing."""

    def __init__(self, entry: Entry, output_index: int) -> None:
        self.entry = entry
        self.output_index = output_index
        self.finished_parts = 0
        self.part: _OpenPart | None = None
        self.arguments: list[str] = []


class LiveResponse:
    """A response in progress. Its methods return the events that follow, in order."""

    def __init__(self, spec: ResponseSpec, conversation: Conversation, ids: Ids, now: float) -> None:
        self.spec = spec
        self.last_sign_at = now
        """When the engine was last heard of."""
        self.exhausted = False
        """It has used up `max_output_tokens`: nothing more fits."""
        self.first_audio_at: float | None = None
        self.spoken_samples = 0
        self._characters = 0
        self._conversation = conversation if spec.conversation_id is not None else None
        self._ids = ids
        self._message: _OpenItem | None = None
        self._calls: dict[str, _OpenItem] = {}
        self._output: list[Entry] = []

    @property
    def id(self) -> str:
        """The response's id."""
        return self.spec.id

    def created(self) -> ServerEvent:
        """The first event."""
        return ResponseCreated(response=self._response("in_progress", None, Usage()))

    def advance(self, event: EngineEvent, now: float) -> Iterator[ServerEvent]:
        """What an engine's output means for the client. Nothing once `max_output_tokens` is used up."""
        self.last_sign_at = now
        if self.exhausted:
            return
        match event:
            case OutputText(text=text):
                yield from self._write(text)
            case OutputTranscript(text=text, marks=marks):
                yield from self._say(text, marks)
            case OutputAudio(pcm=pcm):
                if self.first_audio_at is None:
                    self.first_audio_at = now
                yield from self._speak(pcm)
            case FunctionCallStarted(call_id=call_id, name=name):
                yield from self._call(call_id, name)
            case FunctionCallArguments(call_id=call_id, delta=delta):
                yield from self._arguments(call_id, delta)

    def finish(
        self, ending: Ending, reason: Reason | None = None, error: ResponseError | None = None, usage: Usage | None = None
    ) -> Iterator[ServerEvent]:
        """Close every bracket that is open, then the response."""
        status: Status = "completed" if ending == "completed" else "incomplete"
        yield from self._close_message(status)
        for call in list(self._calls.values()):
            yield from self._close_call(call, status)
        details = None
        if ending != "completed":
            details = StatusDetails(
                type=ending, reason=UNSET if reason is None else reason, error=UNSET if error is None else error
            )
        yield ResponseDone(response=self._response(ending, details, usage or self._usage()))

    def note_heard(self, now: float) -> None:
        """The answer is cut off: nobody can have heard more of it than has had time to play since its first audio."""
        if self.first_audio_at is not None and self._output:
            self._output[-1].heard_samples = int((now - self.first_audio_at) * SAMPLE_HZ)

    @property
    def output_tokens(self) -> int:
        """What it has written and spoken so far."""
        return character_tokens(self._characters) + spoken_tokens(self.spoken_samples)

    def is_open(self, item_id: str) -> bool:
        """This item is still being spoken."""
        return self._message is not None and self._message.entry.id == item_id

    def played_out_at(self, now: float) -> float:
        """When the client has played all of it, at the earliest."""
        if self.first_audio_at is None:
            return now
        return max(now, self.first_audio_at + self.spoken_samples / SAMPLE_HZ)

    # --- messages ---

    def _write(self, text: str) -> Iterator[ServerEvent]:
        text = self._affordable_text(text)
        if not text:
            return
        item, part = yield from self._open_part(spoken=False)
        part.text.append(text)
        for start in range(0, len(text), MAX_DELTA_CHARACTERS):
            yield ResponseOutputTextDelta(**self._place(item, part), delta=text[start : start + MAX_DELTA_CHARACTERS])

    def _say(self, text: str, marks: tuple[Mark, ...]) -> Iterator[ServerEvent]:
        text = self._affordable_text(text)
        if not text and not marks:
            return
        item, part = yield from self._open_part(spoken=True)
        part.text.append(text)
        part.marks.extend(marks)
        for start in range(0, len(text), MAX_DELTA_CHARACTERS):
            delta = text[start : start + MAX_DELTA_CHARACTERS]
            yield ResponseOutputAudioTranscriptDelta(**self._place(item, part), delta=delta)

    def _speak(self, pcm: bytes) -> Iterator[ServerEvent]:
        pcm = self._affordable_audio(pcm)
        if not pcm:
            return
        item, part = yield from self._open_part(spoken=True)
        assert part.encoder is not None
        yield from self._send_audio(item, part, part.encoder.feed(pcm))

    def _send_audio(self, item: _OpenItem, part: _OpenPart, audio: bytes) -> Iterator[ServerEvent]:
        part.audio.append(audio)
        for start in range(0, len(audio), MAX_DELTA_BYTES):
            delta = audio[start : start + MAX_DELTA_BYTES]
            yield ResponseOutputAudioDelta(**self._place(item, part), delta=delta)

    def _open_part(self, *, spoken: bool) -> Generator[ServerEvent, None, tuple[_OpenItem, _OpenPart]]:
        """The message and its open part, opened if need be."""
        if self._message is None:
            self._message = _OpenItem(self._new_message(), len(self._output))
            yield from self._add(self._message)
        item = self._message
        if item.part is not None and item.part.spoken != spoken:
            yield from self._close_part(item)
        if item.part is None:
            item.part = _OpenPart(item.finished_parts, spoken, self.spec.format)
            opened = SpokenPart() if spoken else WrittenPart()
            yield ResponseContentPartAdded(**self._place(item, item.part), part=opened)
        return item, item.part

    def _new_message(self) -> Entry:
        item_id = self._new_item_id()
        return Entry(Message(id=item_id, role="assistant", status="in_progress", content=()))

    def _close_part(self, item: _OpenItem) -> Iterator[ServerEvent]:
        part = item.part
        if part is None:
            return
        item.part = None
        item.finished_parts += 1
        text = "".join(part.text)
        if not part.spoken:
            yield ResponseOutputTextDone(**self._place(item, part), text=text)
            yield ResponseContentPartDone(**self._place(item, part), part=WrittenPart(text))
            item.entry.add(OutputTextPart(text))
            return
        assert part.encoder is not None
        yield from self._send_audio(item, part, part.encoder.flush())
        yield ResponseOutputAudioDone(**self._place(item, part))
        yield ResponseOutputAudioTranscriptDone(**self._place(item, part), transcript=text)
        yield ResponseContentPartDone(**self._place(item, part), part=SpokenPart(text))
        item.entry.add_speech(text, Clip(b"".join(part.audio), self.spec.format), part.marks)

    def _close_message(self, status: Status) -> Iterator[ServerEvent]:
        if (item := self._message) is None:
            return
        yield from self._close_part(item)
        self._message = None
        yield from self._close_item(item, status=status)

    # --- function calls ---

    def _call(self, call_id: str, name: str) -> Iterator[ServerEvent]:
        if call_id in self._calls:
            return
        yield from self._close_message("completed")
        item_id = self._new_item_id()
        call = FunctionCall(id=item_id, status="in_progress", call_id=call_id, name=name, arguments="")
        self._calls[call_id] = _OpenItem(Entry(call), len(self._output))
        yield from self._add(self._calls[call_id])

    def _arguments(self, call_id: str, delta: str) -> Iterator[ServerEvent]:
        if (call := self._calls.get(call_id)) is None or not (delta := self._affordable_text(delta)):
            return
        call.arguments.append(delta)
        for start in range(0, len(delta), MAX_DELTA_CHARACTERS):
            yield ResponseFunctionCallArgumentsDelta(
                response_id=self.id,
                item_id=call.entry.id,
                output_index=call.output_index,
                call_id=call_id,
                delta=delta[start : start + MAX_DELTA_CHARACTERS],
            )

    def _close_call(self, call: _OpenItem, status: Status) -> Iterator[ServerEvent]:
        """A call that broke off gets no `arguments.done`: clients run the function on that event."""
        item = call.entry.item
        assert isinstance(item, FunctionCall)
        assert item.call_id is not UNSET
        arguments = "".join(call.arguments)
        if status == "completed":
            yield ResponseFunctionCallArgumentsDone(
                response_id=self.id,
                item_id=call.entry.id,
                output_index=call.output_index,
                call_id=item.call_id,
                name=item.name,
                arguments=arguments,
            )
        del self._calls[item.call_id]
        yield from self._close_item(call, arguments=arguments, status=status)

    # --- items ---

    def _add(self, item: _OpenItem) -> Iterator[ServerEvent]:
        self._output.append(item.entry)
        yield ResponseOutputItemAdded(response_id=self.id, output_index=item.output_index, item=item.entry.item)
        if self._conversation is not None:
            previous_id = self._conversation.insert(item.entry)
            yield ConversationItemAdded(previous_item_id=previous_id, item=item.entry.item)

    def _close_item(self, item: _OpenItem, **fields: Any) -> Iterator[ServerEvent]:
        item.entry.change(**fields)
        whole = item.entry.item
        if self._conversation is not None and self._conversation.get(item.entry.id) is item.entry:
            previous_id = self._conversation.previous_id(item.entry.id)
            yield ConversationItemDone(previous_item_id=previous_id, item=whole)
        yield ResponseOutputItemDone(response_id=self.id, output_index=item.output_index, item=whole)

    def _new_item_id(self) -> str:
        while True:
            item_id = self._ids.new("item")
            if self._conversation is None or item_id not in self._conversation:
                return item_id

    def _place(self, item: _OpenItem, part: _OpenPart) -> dict[str, Any]:
        return {
            "response_id": self.id,
            "item_id": item.entry.id,
            "output_index": item.output_index,
            "content_index": part.index,
        }

    # --- accounts ---

    def _tokens_left(self) -> int | None:
        if self.spec.max_output_tokens == "inf":
            return None
        return self.spec.max_output_tokens - self.output_tokens

    def _affordable_text(self, text: str) -> str:
        room = MAX_CHARACTERS - self._characters
        left = self._tokens_left()
        if left is not None:
            slack = -self._characters % CHARACTERS_PER_TOKEN
            room = min(room, max(left, 0) * CHARACTERS_PER_TOKEN + slack)
        self.exhausted = len(text) > room
        text = text[:room]
        self._characters += len(text)
        return text

    def _affordable_audio(self, pcm: bytes) -> bytes:
        pcm = pcm[: len(pcm) & ~1]
        left = self._tokens_left()
        if left is not None:
            slack = -self.spoken_samples % SPOKEN_SAMPLES_PER_TOKEN
            room = samples_to_bytes(max(left, 0) * SPOKEN_SAMPLES_PER_TOKEN + slack, PCM.type)
            self.exhausted = len(pcm) > room
            pcm = pcm[:room]
        self.spoken_samples += bytes_to_samples(len(pcm), PCM.type)
        return pcm

    def _usage(self) -> Usage:
        written = character_tokens(self._characters)
        return usage_of(self.spec.read, self.spec.cached, written, spoken_tokens(self.spoken_samples))

    def _response(self, status: Any, details: StatusDetails | None, usage: Usage) -> Response:
        spec = self.spec
        return Response(
            id=spec.id,
            conversation_id=UNSET if spec.conversation_id is None else spec.conversation_id,
            status=status,
            status_details=details,
            output=tuple(entry.item for entry in self._output),
            output_modalities=spec.modalities,
            audio=ResponseAudio(ResponseAudioOutput(spec.format, spec.voice)),
            max_output_tokens=spec.max_output_tokens,
            metadata=spec.metadata,
            usage=usage,
            temperature=UNSET if spec.temperature is None else spec.temperature,
        )
