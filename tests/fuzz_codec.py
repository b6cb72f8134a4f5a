"""Mutated frames against both codecs: `python -m tests.fuzz_codec --events 1000000 [--seed 7]`.

Whatever the bytes are, the answer is an event or one RequestError that fits a small frame. An event, written down and
read again, is the same event. Failures print the seed's number and the frame.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator

import msgspec

from tests.examples import client_examples
from tests.oracle import Oracle
from tests.simulation import World
from vivavoce.protocol.beta import BETA
from vivavoce.protocol.client_events import ClientEventBase
from vivavoce.protocol.codec import GA, Dialect
from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.server_events import ServerEventBase
from vivavoce.session.boundary import Output, Rejected

EXTREMES = [
    b"null", b"true", b"[]", b"{}", b'""', b"0", b"-1", b"1.0", b"1e999", b"NaN", b"-0.0", b"9" * 400, b"9" * 5000,
    b'"\\ud800"', b'"\\u0000"', b'"\xff"', b'"\\"', b"[" * 300, b'{"a":' * 2000, b'{"type":"message"}', b'"AAA"', b'"AAAA"',
    b'"text"', b'"audio"', b'"assistant"', b'"item_reference"', b'"pcm16"', b'"inf"', b"\x00", b"/**/", b"\xef\xbb\xbf",
]  # fmt: skip
KEYS = (
    b'"type" "event_id" "session" "item" "response" "audio" "input" "output" "format" "content" "role" "id" "text" "voice" '
    b'"modalities" "output_modalities" "turn_detection" "input_audio_format" "tools" "tool_choice" "metadata" "item_id" '
    b'"input_audio_transcription" "max_output_tokens" "conversation" "previous_item_id" "audio_end_ms" "temperature"'
).split()
LONGEST_MESSAGE = 1500


def seeds() -> list[bytes]:
    """Valid frames of both dialects."""
    found = [event for prefix in ("RealtimeClientEvent", "RealtimeBetaClientEvent") for _, event in client_examples(prefix)]
    parts = [{"type": "input_audio", "audio": "AAAA", "transcript": None}, {"type": "text", "text": "hé\u2028"}]
    message = {"type": "message", "id": None, "role": "user", "content": parts}
    call = {"type": "function_call", "name": "f", "call_id": "c", "arguments": "{}"}
    found += [
        {"type": "conversation.item.create", "event_id": None, "item": message, "previous_item_id": "root"},
        {"type": "conversation.item.create", "item": call},
        {"type": "response.create", "response": {"input": [message, call], "modalities": ["audio", "text"], "voice": "ash"}},
        {"type": "session.update", "session": {"voice": "ash", "turn_detection": None, "input_audio_format": "g711_ulaw"}},
    ]
    return [json.dumps(event, ensure_ascii=False).encode() for event in found]


# --- mutations ---

Mutation = Callable[[random.Random, bytearray, list[bytes]], None]


def _flip(chance: random.Random, frame: bytearray, _: list[bytes]) -> None:
    if frame:
        frame[chance.randrange(len(frame))] = chance.choice([chance.randrange(256), *b'{}[]",:\\0\x80'])


def _cut(chance: random.Random, frame: bytearray, _: list[bytes]) -> None:
    start = chance.randrange(len(frame) + 1)
    del frame[start : start + chance.choice([1, 1, 2, 5, len(frame)])]


def _double(chance: random.Random, frame: bytearray, _: list[bytes]) -> None:
    start = chance.randrange(len(frame) + 1)
    frame[start:start] = frame[start : start + chance.randrange(40)]


def _splice(chance: random.Random, frame: bytearray, others: list[bytes]) -> None:
    other = chance.choice(others)
    start = chance.randrange(len(frame) + 1)
    frame[start:] = other[chance.randrange(len(other)) :]


def _values(frame: bytes) -> Iterator[tuple[int, int]]:
    """Where scalar values and keys stand, roughly: between a quote, colon, comma or bracket and the next."""
    start = 0
    for position, byte in enumerate(frame):
        if byte in b":,[]{}":
            if position > start:
                yield start, position
            start = position + 1


def _replace(words: list[bytes]) -> Mutation:
    def mutate(chance: random.Random, frame: bytearray, _: list[bytes]) -> None:
        places = list(_values(frame))
        if places:
            start, end = chance.choice(places)
            frame[start:end] = chance.choice(words)

    return mutate


def _insert_member(chance: random.Random, frame: bytearray, _: list[bytes]) -> None:
    braces = [position for position, byte in enumerate(frame) if byte == ord("{")]
    if braces:
        at = chance.choice(braces) + 1
        frame[at:at] = chance.choice(KEYS) + b":" + chance.choice(EXTREMES) + b","


MUTATIONS: list[Mutation] = [
    _flip,
    _cut,
    _double,
    _splice,
    _replace(EXTREMES),
    _replace(EXTREMES),
    _replace(KEYS),
    _insert_member,
]


def mutated(chance: random.Random, frames: list[bytes]) -> bytes:
    """A valid frame after up to four accidents."""
    frame = bytearray(chance.choice(frames))
    for _ in range(chance.choice([0, 1, 1, 1, 2, 3, 4])):
        chance.choice(MUTATIONS)(chance, frame, frames)
    return bytes(frame)


# --- what must hold ---


def examine(frame: str | bytes, dialect: Dialect) -> str:
    """Decode and check; returns what became of the frame: an event's name or an error's code."""
    try:
        event = dialect.decode(frame)
    except RequestError as error:
        return _checked_code(error)
    assert isinstance(event, ClientEventBase)
    again = GA.decode(msgspec.json.encode(event))
    assert again == event, f"{event} became {again}"
    return type(event).__name__


def _checked_code(error: RequestError) -> str:
    assert error.code
    assert len(error.message) < LONGEST_MESSAGE, f"{len(error.message)} characters: {error.message[:200]}"
    assert error.param is None or len(error.param) < LONGEST_MESSAGE, error.param[:200]
    assert error.event_id is None or (isinstance(error.event_id, str) and len(error.event_id) <= 512)
    assert msgspec.json.encode([error.code, error.message, error.param, error.event_id])
    return error.code


def run(events: int, seed: int) -> Counter[str]:
    """Examine so many frames; returns how often each outcome came. Raises AssertionError with the frame at fault."""
    frames = seeds()
    outcomes: Counter[str] = Counter()
    for number in range(events):
        frame = mutated(random.Random(f"{seed}/{number}"), frames)
        for dialect in (GA, BETA):
            try:
                outcomes[examine(frame, dialect)] += 1
            except Exception as error:
                raise AssertionError(f"frame {seed}/{number}, {dialect.name}: {frame[:2000]!r}: {error!r}") from error
    return outcomes


OUTPUTS = (12, 13, 14, 15, 16)
"""Steps of `World` in which an engine says something, or is done."""


def live(events: int, seed: int, dialect: Dialect) -> None:
    """Feed one session so many broken frames, an engine answering; the oracle judges all that it says."""
    draw, frames, oracle = random.Random(seed), seeds(), Oracle(dialect.name)

    def judge(output: Output) -> None:
        if isinstance(output, ServerEventBase) and (frame := dialect.encode(output)):
            oracle.saw_server(frame)

    world = World(see=judge, listens=False)
    for _ in range(events):
        frame = mutated(draw, frames)
        oracle.saw_client(frame)
        try:
            world.handle(dialect.decode(frame))
        except RequestError as error:
            world.handle(Rejected(error.code, error.message, error.param, error.event_id))
        if draw.random() < 0.5:
            world.step(draw.choice(OUTPUTS), draw.randrange(1000), draw.randrange(1000))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args()
    started = time.monotonic()
    outcomes = run(options.events, options.seed)
    seconds = time.monotonic() - started
    print(
        f"{options.events:,} frames in each dialect, seed {options.seed}, {seconds:.0f} s: nothing but events and refusals."
    )
    for outcome, count in outcomes.most_common():
        print(f"{count:12,}  {outcome}")


if __name__ == "__main__":
    main()
