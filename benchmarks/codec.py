"""What a frame costs: `python benchmarks/codec.py`. Best of five, microseconds of processor time a call."""

from __future__ import annotations

import base64
import time
import timeit
from collections.abc import Callable
from typing import Any

import msgspec

from vivavoce.protocol.beta import BETA
from vivavoce.protocol.client_events import ClientEvent
from vivavoce.protocol.codec import GA
from vivavoce.protocol.server_events import ResponseOutputAudioDelta

MESSAGE = (
    '{"type":"conversation.item.create","item":{"type":"message","role":"user",'
    '"content":[{"type":"input_text","text":"hi"}]}}'
)
UPDATE = '{"type":"session.update","session":{"type":"realtime","instructions":"be kind"}}'
FLAT_UPDATE = '{"type":"session.update","session":{"voice":"ash","instructions":"be kind","turn_detection":null}}'
CREATE = '{"type":"response.create","response":{"instructions":"greet"}}'
DELTA = ResponseOutputAudioDelta(
    event_id="event_1", response_id="resp_1", item_id="item_1", output_index=0, content_index=0, delta=bytes(4800)
)


def microseconds(call: Callable[[Any], object], argument: Any, number: int = 20_000) -> float:
    """The best of five runs, per call."""
    return min(timeit.repeat(lambda: call(argument), number=number, repeat=5, timer=time.process_time)) / number * 1e6


def append(ms: int) -> str:
    """A frame with `ms` of PCM16 at 24 kHz."""
    audio = base64.b64encode(bytes(range(256)) * (48 * ms // 256 + 1))[: 64 * ms].decode()
    return f'{{"type":"input_audio_buffer.append","event_id":"event_1","audio":"{audio}"}}'


def main() -> None:
    """Print the table."""
    raw = msgspec.json.Decoder(ClientEvent).decode
    encode = msgspec.json.Encoder().encode
    rows: list[tuple[str, Callable[[Any], object], Any]] = [
        ("append 20 ms, msgspec alone", raw, append(20)),
        ("append 20 ms, GA", GA.decode, append(20)),
        ("append 20 ms, beta", BETA.decode, append(20)),
        ("append 100 ms, GA", GA.decode, append(100)),
        ("item create, GA", GA.decode, MESSAGE),
        ("session update, GA", GA.decode, UPDATE),
        ("session update, flat", GA.decode, FLAT_UPDATE),
        ("response create, beta", BETA.decode, CREATE),
        ("delta 100 ms, msgspec alone", encode, DELTA),
        ("delta 100 ms, GA", GA.encode, DELTA),
        ("delta 100 ms, beta", BETA.encode, DELTA),
    ]
    for name, call, argument in rows:
        print(f"{name:32}{microseconds(call, argument):8.2f} µs")
    largest = microseconds(GA.decode, append(15 * 2**20 // 48), number=1)
    print(f"{'append 15 MiB, GA':32}{largest / 1000:8.2f} ms")


if __name__ == "__main__":
    main()
