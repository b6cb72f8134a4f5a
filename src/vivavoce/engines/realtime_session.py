"""One conversation with another Realtime server: commands in, its events out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from vivavoce.audio import Decoder
from vivavoce.engine_api import Emit, EngineCommand, Generate, Listen, StopListening, Transcribe
from vivavoce.engines.realtime_answer import OutOfStep, ServerAnswer, Telling, failure_of
from vivavoce.engines.realtime_line import Line, Target
from vivavoce.engines.realtime_mirror import Entry, Mirror, have_sound, told
from vivavoce.engines.realtime_speech import Speech, UserWords
from vivavoce.engines.realtime_wire import (
    METADATA_KEY,
    Event,
    Received,
    SessionWish,
    response_create,
    session_change,
    session_start,
    tools_of,
)
from vivavoce.engines.streaming import GenerationEvent, StreamingSession, Words, closing
from vivavoce.protocol.errors import EngineError
from vivavoce.protocol.objects import Item

if TYPE_CHECKING:
    from vivavoce.engines.realtime import Options

_HARMLESS: Final = "cancel"
"""Events of this kind may come too late, and then the server refuses them."""
_COMMIT_BYTES: Final = 4_800
"""100 ms of PCM: servers refuse to commit less."""


class RealtimeSession:
    """The session. Its parts: the line, what the server remembers (`Mirror`), and the answers that are on their way."""

    def __init__(self, emit: Emit, target: Target, options: Options) -> None:
        self._options = options
        self._target = target
        self._streaming = StreamingSession(emit, self._generate, self._transcribe if options.transcription else None)
        self._line = Line(target, self)
        self._asking = asyncio.Lock()
        self._events = 0
        self._words = UserWords(options.first_seconds, options.silence_seconds)
        self._transcription: dict[str, Any] | None = {"model": options.transcription} if options.transcription else None
        self._forget()
        self._speech: Speech | None = None
        self._lost = EngineError("upstream_disconnected", f"{target.subject} is gone.")
        """Why there is no connection any more."""

    def _forget(self) -> None:
        """A new connection knows nothing."""
        self._mirror = Mirror()
        self._asked: deque[ServerAnswer] = deque()
        """Answers whose `response.created` has not come."""
        self._answers: dict[str, ServerAnswer] = {}
        """By the server's id."""
        self._current: ServerAnswer | None = None
        """The answer in the server's conversation."""
        self._commits: deque[Entry] = deque()
        """Speech that was committed and whose id has not come."""
        self._all_committed = asyncio.Event()
        self._told: Event = {}
        """What the server's session has."""
        self._aside_items: tuple[Item, ...] = ()
        self._said_last: EngineError | None = None
        """An error that named no event of ours: why the server closes the connection, if it does."""

    # --- commands ---

    def submit(self, command: EngineCommand) -> None:
        """Take a command."""
        match command:
            case Listen():
                self._listen(command)
            case StopListening(item_id):
                self._streaming.submit(command)
                self._words.forget(item_id)
                self._stop_listening(item_id)
            case _:
                self._streaming.submit(command)

    def close(self) -> None:
        """Stop everything; the connection closes."""
        self._streaming.close()
        self._line.close()

    # --- the user's speech ---

    def _listen(self, command: Listen) -> None:
        """Pass it on as it comes, so that nothing is left to upload when the turn is over."""
        speech = self._speech
        if speech is None or speech.item_id != command.item_id:
            self._line.wake()
            speech = self._speech = self._begin(command)
        if speech.epoch == self._line.epoch:
            self._append(speech, command.audio)
            if command.final:
                self._commit(speech)
        if command.final:
            self._speech = None

    def _begin(self, command: Listen | Transcribe) -> Speech:
        decoder = Decoder(command.format.type, self._options.input_rate_hz)
        return Speech(command.item_id, self._line.epoch, decoder)

    def _append(self, speech: Speech, audio: bytes) -> None:
        if pcm := speech.feed(audio):
            self._send({"type": "input_audio_buffer.append", "audio": pcm})

    def _commit(self, speech: Speech) -> None:
        """The turn is over. What is too short to be committed goes as an item, when somebody mentions it."""
        if pcm := speech.flush():
            self._send({"type": "input_audio_buffer.append", "audio": pcm})
        if speech.sent_bytes < _COMMIT_BYTES:
            self._send({"type": "input_audio_buffer.clear"})
            return
        self._send({"type": "input_audio_buffer.commit"}, "commit")
        self._commits.append(Entry(ours=speech.item_id, heard_bytes=speech.heard_bytes, is_coming=True))
        self._all_committed.clear()

    def _stop_listening(self, item_id: str) -> None:
        if self._speech is not None and self._speech.item_id == item_id:
            if self._speech.epoch == self._line.epoch:
                self._send({"type": "input_audio_buffer.clear"})
            self._speech = None

    async def _transcribe(self, request: Transcribe) -> AsyncIterator[Words]:
        """The server's words for what the user said. Raises `EngineError`."""
        wish = {"model": self._options.transcription}
        wish |= {name: value for name in ("language", "prompt") if (value := getattr(request, name))}
        self._transcription = wish
        if self._line.is_open:
            self._change(transcription=wish)
        if not self._words.expects(request.item_id) and not self._is_committed(request.item_id):
            await self._hear(request)
        async with closing(self._words.read(request.item_id)) as events:
            async for event in events:
                yield event

    def _is_committed(self, item_id: str) -> bool:
        return item_id in self._mirror.known or any(entry.ours == item_id for entry in self._commits)

    async def _hear(self, request: Transcribe) -> None:
        """Speech that was not passed on while it came: all of it now, unless somebody speaks. Raises `EngineError`."""
        async with self._asking:  # An answer that is asked for after it finds it there.
            await self._line.ready()
            speech = self._begin(request)
            pcm = await asyncio.to_thread(speech.whole, request.audio)
            if len(pcm) < _COMMIT_BYTES:
                raise EngineError("transcription_unavailable", "It is too short to be understood.")
            if self._speech is not None or speech.epoch != self._line.epoch or self._is_committed(request.item_id):
                raise EngineError("transcription_unavailable", "The Realtime server hears one at a time.")
            self._send({"type": "input_audio_buffer.append", "audio": pcm})
            self._commit(speech)

    # --- answers ---

    async def _generate(self, request: Generate) -> AsyncIterator[GenerationEvent]:
        """Answer, as the server's events arrive. Raises `EngineError`."""
        telling = Telling(request, self._target)
        try:
            async with closing(self._answer(request, telling)) as outputs:
                async for output in outputs:
                    yield output
        except OutOfStep:
            if telling.said_something:
                raise
            async with closing(self._answer(request, telling)) as outputs:  # On a new connection, from the beginning.
                async for output in outputs:
                    yield output

    async def _answer(self, request: Generate, telling: Telling) -> AsyncIterator[GenerationEvent]:
        answer = await self._ask(request)
        try:
            async with closing(answer.events(self._options.first_seconds, self._options.silence_seconds)) as events:
                async for event in events:
                    for output in telling.tell(event):
                        yield output
        except TimeoutError:
            error = self._target.failure("upstream_timeout", "did not answer in time, or fell silent.")
            self._line.drop(error)  # Who knows what it will say later. The next turn begins anew.
            raise error from None
        except EngineError as error:
            if error.code == "upstream_invalid":
                self._line.drop(error)
            raise
        finally:
            self._abandon(answer)

    async def _ask(self, request: Generate) -> ServerAnswer:
        """Make the server's conversation that of the snapshot, and have it answer. Raises `EngineError`."""
        async with self._asking:
            await self._line.ready()
            aside = await self._goes_aside(request.items)
            answer = ServerAnswer(request, aside=aside, epoch=self._line.epoch)
            if aside:
                self._aside_items = request.items
                event = await asyncio.to_thread(self._response_create, request, request.items)
            else:
                self._current = answer
                try:
                    await self._tell(request)
                except BaseException:
                    answer.over.set()
                    raise
                event = self._response_create(request, None)
            self._check(answer.epoch)
            answer.event_id = self._send(event, "ask")
            self._asked.append(answer)
            return answer

    async def _goes_aside(self, items: Sequence[Item]) -> bool:
        """Whether to ask out of band. What was cancelled has to be over first: a server gives one answer at a time."""
        current = self._current
        if current is not None and not current.over.is_set():
            if self._options.out_of_band and not current.is_unwanted:
                return True
            try:
                async with asyncio.timeout(self._options.silence_seconds if current.is_unwanted else None):
                    await current.over.wait()
            except TimeoutError:
                error = self._target.failure("upstream_timeout", "does not end an answer that was cancelled.")
                self._line.drop(error)
                raise error from None
            await self._line.ready()
        known = self._mirror.known | {entry.ours for entry in self._commits}
        is_other = bool(known) and not any(item.id in known for item in items)
        return self._options.out_of_band and is_other and not any(item in self._aside_items for item in items)

    async def _tell(self, request: Generate) -> None:
        """Bring the server's conversation up to date. Raises `EngineError`."""
        for entry in self._commits:
            self._mirror.place(entry)
        if self._mirror.waits_for(request.items):
            await self._committed()
        steps = self._mirror.steps(request.items)
        epoch = self._line.epoch
        dialect = self._options.dialect
        events = await asyncio.to_thread(told, steps, dialect) if have_sound(steps) else told(steps, dialect)
        self._check(epoch)
        for event in events:
            self._send(event, "mirror")
        first_voice = "voice" not in self._told and "audio" in request.modalities
        voice = {"voice": self._voice(request.voice)} if first_voice else {}
        self._change(instructions=request.instructions, tools=tools_of(request), speed=request.speed, **voice)

    def _check(self, epoch: int) -> None:
        """Raises `EngineError` where the connection of that time is gone."""
        if epoch != self._line.epoch or not self._line.is_open:
            raise type(self._lost)(self._lost.code, self._lost.message)

    async def _committed(self) -> None:
        """Wait until the server has told the ids of all that was committed. Raises `EngineError`."""
        try:
            async with asyncio.timeout(self._options.first_seconds):
                await self._all_committed.wait()
        except TimeoutError:
            error = self._target.failure("upstream_timeout", "does not confirm what it heard.")
            self._line.drop(error)
            raise error from None

    def _response_create(self, request: Generate, items: Sequence[Item] | None) -> Event:
        voice = self._voice(request.voice)
        return response_create(request, voice, self._options.dialect, items, self._options.extra_response)

    def _voice(self, wanted: str) -> str:
        return self._options.voices.get(wanted) or self._options.voice or wanted

    def _change(self, **wish: Any) -> None:
        """Change the server's session where it is not as it should be."""
        before = {"instructions": "", "tools": [], "speed": 1.0, **self._told}
        if changes := {name: value for name, value in wish.items() if before.get(name) != value}:
            self._told |= changes
            self._send(session_change(changes, self._options.dialect), "session")

    def _abandon(self, answer: ServerAnswer) -> None:
        """Nobody wants the rest. What of it was heard, the next snapshot tells."""
        if not answer.over.is_set() and not answer.is_unwanted:
            answer.is_unwanted = True
            if answer.theirs and answer.epoch == self._line.epoch:
                self._send({"type": "response.cancel", "response_id": answer.theirs}, _HARMLESS)

    def _send(self, event: Event, kind: str = "audio") -> str:
        """Send an event under a name that tells what to do where it is refused."""
        self._events += 1
        event_id = f"{kind}_{self._events}"
        self._line.send({**event, "event_id": event_id})
        return event_id

    # --- the server's events: `Owner` ---

    def greeting(self) -> Event:
        """How the session is to be."""
        self._told = {"transcription": self._transcription}
        wish = SessionWish(transcription=self._transcription, input_rate_hz=self._options.input_rate_hz)
        return session_start(wish, self._options.dialect)

    def lost(self, error: EngineError) -> None:
        """No connection: everything that was on its way fails, and what the server knew is forgotten."""
        error = self._lost = self._said_last or error
        on_their_way = [*self._asked, *self._answers.values()]
        self._words.lost(error)
        self._forget()
        for answer in on_their_way:
            answer.put(error)

    def take(self, event: Received) -> None:
        """An event of the server's."""
        kind = event.type
        if kind == "response.created" and event.response is not None:
            self._created(event.response.id, event.response.metadata)
        elif kind.startswith("response."):
            self._answering(event)
        elif kind == "input_audio_buffer.committed" and self._commits:
            entry = self._commits.popleft()
            self._mirror.committed(entry, event.item_id)
            self._words.is_known(entry.ours, event.item_id)
            if not self._commits:
                self._all_committed.set()
        elif kind.startswith("conversation.item.input_audio_transcription."):
            self._words.take(event, self._target)
        elif kind == "error":
            self._refused(event.error if isinstance(event.error, dict) else {})

    def _created(self, theirs: str, metadata: Any) -> None:
        """The server began an answer: which of those that were asked for, it says by our name for it, or by the order."""
        name = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
        answer = next((asked for asked in self._asked if asked.request.response_id == name), None)
        answer = answer or (self._asked[0] if self._asked else None)
        if answer is None:
            return
        self._asked.remove(answer)
        answer.theirs = theirs
        self._answers[theirs] = answer
        if answer.is_unwanted:
            self._send({"type": "response.cancel", "response_id": theirs}, _HARMLESS)

    def _answering(self, event: Received) -> None:
        theirs = event.response.id if event.response is not None else event.response_id
        answer = self._answers.get(theirs)
        if answer is None:
            return
        if not answer.aside:
            self._note(answer, event)
        if event.type == "response.done":
            del self._answers[theirs]
        answer.put(event)

    def _note(self, answer: ServerAnswer, event: Received) -> None:
        """Remember what the server's conversation gets of the answer."""
        if event.type == "response.output_item.added" and event.item is not None:
            call_id = (event.item.call_id or event.item.id) if event.item.type == "function_call" else ""
            joins = answer.message_is_open and not call_id
            self._mirror.answer(event.item.id, call_id, joins=joins)
            answer.message_is_open = not call_id
        elif event.delta and event.type == "response.output_audio.delta":
            samples = (len(event.delta) * 3 // 4 - event.delta.count("=", -2)) // 2
            self._mirror.grew(event.item_id, samples, "", event.content_index)
        elif event.delta and event.type in ("response.output_audio_transcript.delta", "response.output_text.delta"):
            self._mirror.grew(event.item_id, 0, event.delta, event.content_index)

    def _refused(self, error: Event) -> None:
        """The server refuses something. What, it says by the name of our event."""
        named = str(error.get("event_id") or "")
        kind = named.partition("_")[0]
        if kind == _HARMLESS:
            return
        failure = failure_of(
            self._target, str(error.get("code") or error.get("type") or ""), str(error.get("message") or "")
        )
        answer = next((asked for asked in self._asked if asked.event_id == named), None)
        if answer is None and not named and self._asked:
            answer = self._asked[0]
        if answer is not None:
            self._asked.remove(answer)
            answer.put(failure)
        elif kind in ("mirror", "commit"):
            self._line.drop(OutOfStep(failure.code, failure.message))
        elif kind == "session":
            self._line.drop(failure)
        else:
            self._said_last = failure
