"""What a frame costs: `python benchmarks/codec.py`. Best of five, microseconds a call."""

import base64
import timeit

import msgspec

from vivavoce.protocol.beta import BETA
from vivavoce.protocol.client_events import ClientEvent
from vivavoce.protocol.codec import GA
from vivavoce.protocol.server_events import ResponseOutputAudioDelta


def microseconds(call, number=20_000):
    return min(timeit.repeat(call, number=number, repeat=5)) / number * 1e6


def append(ms):
    audio = base64.b64encode(bytes(range(256)) * (48 * ms // 256 + 1))[: 64 * ms].decode()
    return f'{{"type":"input_audio_buffer.append","event_id":"event_1","audio":"{audio}"}}'


def main():
    raw = msgspec.json.Decoder(ClientEvent).decode
    encode = msgspec.json.Encoder().encode
    delta = ResponseOutputAudioDelta(
        event_id="event_1", response_id="resp_1", item_id="item_1", output_index=0, content_index=0, delta=bytes(4800)
    )
    message = (
        '{"type":"conversation.item.create","item":{"type":"message","role":"user",'
        '"content":[{"type":"input_text","text":"hi"}]}}'
    )
    update = '{"type":"session.update","session":{"type":"realtime","instructions":"be kind"}}'
    flat = '{"type":"session.update","session":{"voice":"ash","instructions":"be kind","turn_detection":null}}'
    create = '{"type":"response.create","response":{"instructions":"greet"}}'
    rows = [
        ("append 20 ms, msgspec alone", lambda f=append(20): raw(f)),
        ("append 20 ms, GA", lambda f=append(20): GA.decode(f)),
        ("append 20 ms, beta", lambda f=append(20): BETA.decode(f)),
        ("append 100 ms, GA", lambda f=append(100): GA.decode(f)),
        ("append 100 ms, GA, bytes", lambda f=append(100).encode(): GA.decode(f)),
        ("item create, GA", lambda: GA.decode(message)),
        ("session update, GA", lambda: GA.decode(update)),
        ("session update, flat", lambda: GA.decode(flat)),
        ("response create, beta", lambda: BETA.decode(create)),
        ("delta 100 ms, msgspec alone", lambda: encode(delta)),
        ("delta 100 ms, GA", lambda: GA.encode(delta)),
        ("delta 100 ms, beta", lambda: BETA.encode(delta)),
    ]
    for name, call in rows:
        print(f"{name:32}{microseconds(call):8.2f} µs")
    large = append(15 * 2**20 // 48)
    print(f"{'append 15 MiB, GA':32}{microseconds(lambda: GA.decode(large), 1) / 1000:8.2f} ms")


if __name__ == "__main__":
    main()
