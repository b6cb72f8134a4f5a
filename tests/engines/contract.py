"""What every engine owes the core, as checks that any engine can be put through.

Each check is a coroutine that takes an `Engine` that has started and a `Subject` that says what to ask of it. To put an
engine of your own through them, write a `Subject` (`probe.py`) and see `test_contract.py`.
"""

import asyncio
import gc
import json
import threading
import time
import tracemalloc
from itertools import pairwise

import msgspec

from tests.engines.probe import WEATHER, Answer, Probe, Subject, ends, request, settle
from vivavoce.engine_api import (
    DetectSpeech,
    Engine,
    FunctionCallArguments,
    FunctionCallStarted,
    Generate,
    GenerationDone,
    GenerationFailed,
    Listen,
    OutputAudio,
    OutputTranscript,
    ScoreTurn,
    StopGenerating,
    StopListening,
    Transcribe,
    TranscriptDelta,
    TranscriptDone,
    TranscriptFailed,
)
from vivavoce.protocol.objects import PCM, Item, Message, OutputAudioPart

SUBMIT_SECONDS = 0.005
"""`submit` may take microseconds; a busy machine may take it off the processor for a while, which is not counted."""
LEFT_BYTES = 100_000
"""What a quarter of a subject's turns may leave: an interpreter's own tables grow now and then."""
LOOKS = 20
"""At the memory, 20 ms apart. Counted, not timed: a host that stops the whole machine stops both sides."""
LOOP_ANSWERS = 4
LOOP_SECONDS = 0.020
"""What the engine may compute on the event loop at a stretch. The aim is 1 ms; garbage collection needs its turn too."""


async def check_speech_streams(engine: Engine, subject: Subject) -> None:
    """Audio comes in more than one piece, whole samples, before the response is done."""
    probe = Probe(engine)
    answer = await probe.answer(request(subject, subject.long))
    pieces = [event.pcm for event in answer.events if isinstance(event, OutputAudio)]
    assert answer.end == GenerationDone("resp_1", usage=answer.end.usage)
    assert len(pieces) > 1
    assert all(piece and len(piece) % 2 == 0 for piece in pieces)
    assert not answer.text or not subject.has_words
    probe.session.close()


async def check_marks_tie_words_to_samples(engine: Engine, subject: Subject) -> None:
    """Marks never go back, never point past what was sent, and the last one is the end of words and audio."""
    probe = Probe(engine)
    answer = await probe.answer(request(subject, subject.long))
    probe.session.close()
    if not subject.has_words:
        assert not answer.transcript
        assert not answer.marks
        return
    assert answer.transcript.strip() == answer.transcript
    assert len(answer.marks) > 1
    for before, after in pairwise(answer.marks):
        assert before.characters <= after.characters
        assert before.samples <= after.samples
    assert answer.marks[-1].characters == len(answer.transcript)
    assert answer.marks[-1].samples == len(answer.pcm) // 2
    for mark in answer.marks:
        after = answer.transcript[mark.characters :]
        assert not (after[:1].isalnum() and answer.transcript[mark.characters - 1].isalnum()), "a mark inside a word"
    _check_words_come_before_their_marks(answer)


def _check_words_come_before_their_marks(answer: Answer) -> None:
    written = 0
    for event in answer.events:
        if isinstance(event, OutputTranscript):
            written += len(event.text)
            assert all(mark.characters <= written for mark in event.marks)


async def check_text_is_text(engine: Engine, subject: Subject) -> None:
    """A text response has text and neither audio nor transcript."""
    probe = Probe(engine)
    answer = await probe.answer(request(subject, subject.long, modalities=("text",)))
    probe.session.close()
    assert answer.text
    assert not answer.pcm
    assert not answer.transcript
    assert isinstance(answer.end, GenerationDone)


async def check_one_end_and_nothing_after_it(engine: Engine, subject: Subject) -> None:
    """Several responses at once in one session, each with exactly one end."""
    probe = Probe(engine)
    wanted = [request(subject, subject.long, f"resp_{n}") for n in range(4)]
    answers = await asyncio.gather(*(probe.answer(one) for one in wanted))
    await asyncio.sleep(0.02)
    probe.session.close()
    for one, answer in zip(wanted, answers, strict=True):
        events = [event for event in probe.events if getattr(event, "response_id", "") == one.response_id]
        assert [event for event in events if ends(event)] == [events[-1]]
        assert events == answer.events


async def check_stops_in_time(engine: Engine, subject: Subject) -> None:
    """After `StopGenerating` nothing more is made, and what made it is gone."""
    probe = Probe(engine)
    tasks = asyncio.all_tasks()
    probe.session.submit(request(subject, subject.long))
    await probe.until(lambda event: isinstance(event, OutputAudio))
    probe.session.submit(StopGenerating("resp_1"))
    await settle(tasks)
    made = len(probe.events)
    await asyncio.sleep(0.05)
    assert len(probe.events) == made
    # The session lives on.
    assert isinstance((await probe.answer(request(subject, subject.long, "resp_2"))).end, GenerationDone)
    probe.session.close()


async def check_a_stop_at_once_is_heeded(engine: Engine, subject: Subject) -> None:
    """An answer that nobody wants any more before its first sound: the next one is whole."""
    probe = Probe(engine)
    tasks = asyncio.all_tasks()
    probe.session.submit(request(subject, subject.long))
    probe.session.submit(StopGenerating("resp_1"))
    answer = await probe.answer(request(subject, "hello", "resp_2"))
    assert isinstance(answer.end, GenerationDone)
    assert answer.pcm
    await settle(tasks)
    probe.session.close()


async def check_what_was_not_heard_was_not_said(engine: Engine, subject: Subject) -> None:
    """An answer that the conversation holds only in part is answered upon like any other; its end is not remembered."""
    probe = Probe(engine)
    asked = _as_items(subject.ask(subject.long), "item_1")
    whole = await probe.answer(Generate(response_id="resp_1", items=asked))
    half = next((mark for mark in whole.marks if mark.characters >= len(whole.transcript) // 2), None)
    samples = half.samples if half else len(whole.pcm) // 4
    heard = whole.transcript[: half.characters] if half else ""
    part = OutputAudioPart(transcript=heard, audio=whole.pcm[: samples * 2])
    said = Message(id="item_2", role="assistant", status="incomplete", content=(part,))
    again = _as_items(subject.ask(subject.recalls or "hello"), "item_3")
    answer = await probe.answer(Generate(response_id="resp_2", items=(*asked, said, *again)))
    probe.session.close()
    assert isinstance(answer.end, GenerationDone)
    assert answer.pcm
    if subject.recalls:
        # A word more or less: who keeps the sound itself need not agree on where in it a word ends.
        assert heard.rpartition(" ")[0] in answer.transcript
        assert whole.transcript[: len(heard) + 10] not in answer.transcript


def _as_items(items: tuple[Item, ...], item_id: str) -> tuple[Item, ...]:
    """The same under names of their own."""
    return tuple(msgspec.structs.replace(item, id=f"{item_id}{n or ''}") for n, item in enumerate(items))


async def check_sessions_do_not_mix(engine: Engine, subject: Subject) -> None:
    """Two at once say what each says alone."""
    alone = []
    for words in ("one apple", "three pineapples"):
        probe = Probe(engine)
        alone.append(await probe.answer(request(subject, words)))
        probe.session.close()
    probes = [Probe(engine), Probe(engine)]
    both = await asyncio.gather(
        probes[0].answer(request(subject, "one apple")), probes[1].answer(request(subject, "three pineapples"))
    )
    for probe, before, now in zip(probes, alone, both, strict=True):
        probe.session.close()
        assert (now.transcript, now.text) == (before.transcript, before.text)
        assert now.pcm == before.pcm if subject.repeats else 0.98 < len(now.pcm) / len(before.pcm) < 1.02
    assert both[0].pcm != both[1].pcm


async def check_close_stops_everything(engine: Engine, subject: Subject) -> None:
    """A session that is closed while it works leaves no task and says nothing more."""
    tasks = asyncio.all_tasks()
    probe = Probe(engine)
    probe.session.submit(Listen("item_1", subject.speech("hello there"), PCM))
    probe.session.submit(Transcribe(item_id="item_2", audio=subject.speech("hello there"), format=PCM))
    probe.session.submit(request(subject, subject.long))
    await probe.until(lambda event: isinstance(event, OutputAudio))
    probe.session.close()
    await asyncio.sleep(0)
    said = len(probe.events)
    await settle(tasks)
    assert len(probe.events) == said


async def check_nothing_is_left_behind(engine: Engine, subject: Subject) -> None:
    """Many turns in many sessions: no tasks, no threads, no memory stay."""
    await _turns(engine, subject, subject.turns // 2)
    gc.collect()
    tasks, threads = asyncio.all_tasks(), threading.active_count()
    tracemalloc.start()
    try:
        await _turns(engine, subject, subject.turns // 4)
        before = await _memory_at_rest(0)
        await _turns(engine, subject, subject.turns // 4)
        growth = await _memory_at_rest(before + LEFT_BYTES) - before
    finally:
        tracemalloc.stop()
    await settle(tasks)
    assert threading.active_count() <= threads
    assert growth < LEFT_BYTES, f"{growth} bytes stayed"


async def _memory_at_rest(enough: int) -> int:
    """Bytes in use once they are fewer than `enough`, or have not fallen for a while.

    A model's thread may still work on what nobody wants any more: that is not what stays.
    """
    least, looks = tracemalloc.get_traced_memory()[0], 0
    while least >= enough and looks < LOOKS:
        await asyncio.sleep(0.02)
        gc.collect()
        now = tracemalloc.get_traced_memory()[0]
        least, looks = (now, 0) if now < least else (least, looks + 1)
    return least


async def _turns(engine: Engine, subject: Subject, turns: int) -> None:
    for _ in range(turns // 10):
        probe = Probe(engine)
        for n in range(10):
            if n < 2:
                probe.session.submit(Listen(f"item_{n}", subject.speech("hello"), PCM, final=n == 0))
            if n == 1:
                probe.session.submit(StopListening(f"item_{n}"))
            await probe.answer(request(subject, "hello", f"resp_{n}"))
        probe.session.close()


async def check_a_limit_is_kept(engine: Engine, subject: Subject) -> None:
    """20 tokens: 1 s of audio, or 80 characters, or something of both."""
    probe = Probe(engine)
    answer = await probe.answer(request(subject, subject.long, max_output_tokens=20))
    assert answer.end == GenerationDone("resp_1", "max_output_tokens", answer.end.usage)
    assert len(answer.pcm) / 2 / 1200 + len(answer.transcript) / 4 <= 20
    if subject.writes:
        written = await probe.answer(request(subject, subject.long, "resp_2", modalities=("text",), max_output_tokens=2))
        assert written.end == GenerationDone("resp_2", "max_output_tokens", written.end.usage)
        assert 0 < len(written.text) <= 8
    probe.session.close()


async def check_calls_pass_through(engine: Engine, subject: Subject) -> None:
    """A call is started once, and its arguments, joined, are JSON."""
    if not subject.calls:
        return
    probe = Probe(engine)
    answer = await probe.answer(request(subject, subject.calls, tools=(WEATHER,)))
    probe.session.close()
    started = [event for event in answer.events if isinstance(event, FunctionCallStarted)]
    arguments = [event for event in answer.events if isinstance(event, FunctionCallArguments)]
    assert [call.name for call in started] == ["get_weather"]
    assert {event.call_id for event in arguments} == {started[0].call_id}
    assert answer.events.index(started[0]) < answer.events.index(arguments[0])
    assert isinstance(json.loads("".join(event.delta for event in arguments)), dict)
    assert isinstance(answer.end, GenerationDone)


async def check_transcribes_once_and_whole(engine: Engine, subject: Subject) -> None:
    """Deltas, joined, are the transcript; there is one end. An engine that cannot transcribe ignores the command."""
    probe = Probe(engine)
    audio = subject.speech("hello there")
    for start in range(0, len(audio), 4800):
        probe.session.submit(Listen("item_1", audio[start : start + 4800], PCM))
    probe.session.submit(Listen("item_1", b"", PCM, final=True))
    probe.session.submit(Transcribe(item_id="item_1", audio=audio, format=PCM))
    if not engine.capabilities.transcribes:
        await asyncio.sleep(0.05)
        assert probe.events == []
        probe.session.close()
        return
    done = await probe.until(lambda event: isinstance(event, TranscriptDone | TranscriptFailed))
    await asyncio.sleep(0.02)
    probe.session.close()
    assert isinstance(done, TranscriptDone)
    assert probe.events[-1] is done
    assert "".join(event.text for event in probe.events if isinstance(event, TranscriptDelta)) == done.text
    assert done.text.strip() == done.text != ""


async def check_a_failure_is_one_event(engine: Engine, subject: Subject) -> None:
    """A response that breaks off says so once, and the session answers the next one."""
    if not subject.fails:
        return
    probe = Probe(engine)
    answer = await probe.answer(request(subject, subject.fails))
    assert isinstance(answer.end, GenerationFailed)
    assert answer.end.code
    assert "Traceback" not in answer.end.message
    assert isinstance((await probe.answer(request(subject, "hello", "resp_2"))).end, GenerationDone)
    probe.session.close()


async def check_what_it_cannot_do_is_ignored(engine: Engine, subject: Subject) -> None:
    """Commands that mean nothing to it, and ids that nobody knows, do no harm."""
    probe = Probe(engine)
    can = engine.capabilities
    commands = [StopGenerating("resp_unknown"), StopListening("item_unknown")]
    commands += [] if can.listens else [Listen("item_1", b"\0\0", PCM, final=True)]
    commands += [] if can.scores_turns else [ScoreTurn("item_1", 0, b"", PCM)]
    for command in [*commands, DetectSpeech(0, b"\0\0" * 768, PCM)]:
        probe.session.submit(command)
    await asyncio.sleep(0.05)
    assert probe.events == []
    probe.session.close()


async def check_the_event_loop_stays_free(engine: Engine, subject: Subject) -> None:
    """`submit` returns at once, and nothing long is computed on the event loop. Processor time of this thread is counted.

    The kernel of a virtual machine counts what its host took as ours. An engine that computes does so each time, the host
    does not: the best of some answers tells.
    """
    probe = Probe(engine)
    await probe.answer(request(subject, "hello", "resp_0"))
    stretches = []
    for number in range(1, LOOP_ANSWERS + 1):
        stretches.append(await _longest_stretches(probe, request(subject, subject.long, f"resp_{number}")))
        if stretches[-1][0] < SUBMIT_SECONDS and stretches[-1][1] < LOOP_SECONDS:
            break
    probe.session.close()
    submits, turns = zip(*stretches, strict=True)
    assert min(submits) < SUBMIT_SECONDS, f"submit took {min(submits) * 1000:.1f} ms"
    assert min(turns) < LOOP_SECONDS, f"{min(turns) * 1000:.1f} ms at a stretch"


async def _longest_stretches(probe: Probe, asked: Generate) -> tuple[float, float]:
    """Seconds of processor time on the event loop: of `submit`, and of its longest turn until the answer ends."""
    longest = 0.0
    running = True

    async def watch() -> None:
        nonlocal longest
        before = time.thread_time()
        while running:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, before = max(longest, now - before), now

    gc.collect()
    gc.disable()
    try:
        watching = asyncio.create_task(watch())
        await asyncio.sleep(0)
        started = time.thread_time()
        probe.session.submit(asked)
        submitted = time.thread_time() - started
        await probe.until(lambda event: ends(event) and event.response_id == asked.response_id)
        running = False
        await watching
    finally:
        gc.enable()
    return submitted, longest


CHECKS = [check for name, check in sorted(globals().items()) if name.startswith("check_")]
