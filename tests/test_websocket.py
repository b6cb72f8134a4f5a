"""The WebSocket transport over a real socket: handshake, dialects, frames of all sizes, slow and broken clients."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.serving import Served, handshake, receive, run, send, until
from tests.test_frames import masked
from vivavoce.protocol.codec import GA
from vivavoce.transports import frames
from vivavoce.transports.large_frames import steps

AUDIO_SECOND = bytes(48_000)


def push_to_talk() -> dict[str, object]:
    return {"type": "realtime", "audio": {"input": {"turn_detection": None}}}


# --- handshake ---


DIALECTS = [
    ("/v1/realtime?model=anything", {}, [], "ga"),
    ("/realtime", {}, [], "ga"),
    ("/v1/realtime/", {}, ["realtime"], "ga"),
    ("/v1/realtime", {"OpenAI-Beta": "realtime=v1"}, [], "beta"),
    ("/v1/realtime", {"OpenAI-Beta": "assistants=v2"}, [], "ga"),
    ("/v1/realtime", {"OpenAI-Beta": "assistants=v2, realtime=v1"}, [], "beta"),
    ("/v1/realtime", {}, ["realtime", "openai-insecure-api-key.x", "openai-beta.realtime-v1"], "beta"),
    ("/openai/realtime?api-version=2025-04-01-preview&deployment=d", {}, [], "beta"),
    ("/openai/v1/realtime?model=m", {}, [], "ga"),
    ("/openai/v1/realtime", {"OpenAI-Beta": "realtime=v1"}, [], "beta"),
]


def test_which_dialect() -> None:
    async def main(served: Served) -> None:
        for path, headers, protocols, dialect in DIALECTS:
            async with served.connect(path, protocols, additional_headers=headers) as client:
                assert client.subprotocol == ("realtime" if "realtime" in protocols else None)
                assert (await receive(client))["type"] == "session.created"
                await send(client, "session.update", session={"type": "realtime"} if dialect == "ga" else {})
                second = await receive(client)
                assert second["type"] == ("session.updated" if dialect == "ga" else "conversation.created"), path

    run(main)


def test_the_query_makes_the_first_configuration() -> None:
    async def main(served: Served) -> None:
        for path, expected in {
            "/v1/realtime?model=gpt-4o-realtime-preview&unknown=1": ("realtime", "gpt-4o-realtime-preview"),
            "/v1/realtime": ("realtime", "house-model"),
            "/openai/v1/realtime?deployment=mine": ("realtime", "mine"),
        }.items():
            async with served.connect(path) as client:
                session = (await receive(client))["session"]
                assert (session["type"], session["model"]) == expected
                assert session["audio"]["output"]["voice"] == "ash"
        async with served.connect("/v1/realtime?intent=transcription&model=whisper-1") as client:
            session = (await receive(client))["session"]
            assert session["type"] == "transcription"
            assert session["audio"]["input"]["transcription"] == {"model": "whisper-1"}

    from vivavoce.settings import SessionDefaults

    run(main, session=SessionDefaults(model="house-model", voice="ash"))


REFUSALS = [
    ("/v1/unreal", {}, 404, "not_found"),
    ("/v1/realtime?call_id=rtc_1", {}, 404, "call_id_not_found"),
    ("/v1/realtime", {"Origin": "https://evil.example"}, 403, "origin_not_allowed"),
    ("/v1/realtime", {"Origin": "null"}, 403, "origin_not_allowed"),
    ("/v1/realtime", {"Authorization": "Bearer ek_forged"}, 401, "invalid_api_key"),
]


def test_a_refusal_comes_before_the_upgrade_and_is_json() -> None:
    async def main(served: Served) -> None:
        for path, headers, status, code in REFUSALS:
            with pytest.raises(InvalidStatus) as refused:
                await served.connect(path, additional_headers=headers)
            response = refused.value.response
            assert (response.status_code, json.loads(response.body)["error"]["code"]) == (status, code)

    run(main)


def test_what_is_no_handshake_is_an_http_error() -> None:
    async def main(served: Served) -> None:
        for old, new, status in [("Version: 13", "Version: 8", 426), ("Key: ", "Key: x", 400), ("GET", "PUT", 405)]:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(handshake().replace(old, new).encode())
            answer = await asyncio.wait_for(reader.read(), 5)
            assert answer.startswith(f"HTTP/1.1 {status} ".encode())
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_handshake"
            writer.close()

    run(main)


# --- frames ---


def test_with_and_without_compression_on_offer() -> None:
    async def main(served: Served) -> None:
        for compression in (None, "deflate"):
            async with served.connect(compression=compression) as client:
                await until(client, "session.created")
                await send(client, "input_audio_buffer.clear")
                await until(client, "input_audio_buffer.cleared")

    run(main)


def test_bad_frames_are_errors_and_the_session_goes_on() -> None:
    async def main(served: Served) -> None:
        async with served.connect() as client:
            await until(client, "session.created")
            for frame in (b"binary", "", "no json", "[]", '{"type":"no.such.event","event_id":"mine"}', "\x00" * 1000):
                await client.send(frame)
                error = (await receive(client))["error"]
                assert error["type"] == "invalid_request_error"
            await client.send(b"\xff\xfe not UTF-8", text=True)
            assert (await receive(client))["error"]["code"] == "invalid_json"
            await send(client, "input_audio_buffer.clear")
            await until(client, "input_audio_buffer.cleared")

    run(main)


def append(audio: bytes, event_id: str = "big", spaced: bool = False) -> str:
    event = {"event_id": event_id, "type": "input_audio_buffer.append", "audio": base64.b64encode(audio).decode()}
    return json.dumps(event, indent=1 if spaced else None)


@pytest.mark.parametrize("spaced", [False, True])
def test_a_large_append_is_whole_and_in_order(spaced: bool) -> None:
    """11 MB and a few bytes, then a small frame at once: what comes after may not overtake."""

    async def main(served: Served) -> None:
        async with served.connect(max_size=None) as client:
            await send(client, "session.update", session=push_to_talk())
            audio = bytes(range(256)) * 43_000 + b"\x01\x02"
            await client.send(append(audio, spaced=spaced))
            await client.send(append(b"\x03\x04" * 2400))
            await send(client, "input_audio_buffer.commit")
            item_id = (await until(client, "input_audio_buffer.committed"))["item_id"]
            await send(client, "conversation.item.retrieve", item_id=item_id)
            [part] = (await until(client, "conversation.item.retrieved"))["item"]["content"]
            head = base64.b64decode(part["audio"])
            assert audio.startswith(head)
            assert len(head) > 500_000

    run(main)


BAD_LARGE_FRAMES = [
    (append(bytes(600_000)).replace("AAAA", "A*AA", 1), "invalid_value"),
    (append(bytes(600_000))[:-2], "invalid_json"),
    (append(bytes(600_000)).replace("}", ', "surplus": [1, }'), "invalid_json"),
    ('{"type": "input_audio_buffer.append", "event_id": "big", "audio": "' + "A" * 400_001 + '"}', "invalid_value"),
    ('{"type": "input_audio_buffer.append", "event_id": "big", "audio": "' + "AA==" * 100_000 + '"}', "invalid_value"),
    ('{"event_id": "big", "type": "input_audio_buffer.upend", "audio": "' + "A" * 400_000 + '"}', "invalid_value"),
    ("\x00" * 2_000_000, "invalid_json"),
]


def test_a_large_bad_frame_is_one_error_and_loses_nothing() -> None:
    async def main(served: Served) -> None:
        async with served.connect() as client:
            await send(client, "session.update", session=push_to_talk())
            await until(client, "session.updated")
            for frame, code in BAD_LARGE_FRAMES:
                await client.send(append(AUDIO_SECOND))
                await client.send(frame)
                error = (await receive(client))["error"]
                assert (error["code"], error["event_id"]) == (code, None if code == "invalid_json" else "big")
            await send(client, "input_audio_buffer.commit")
            assert (await receive(client))["type"] == "input_audio_buffer.committed"

    run(main)


def test_a_large_append_above_the_audio_limit_is_one_error() -> None:
    async def main(served: Served) -> None:
        async with served.connect() as client:
            await send(client, "session.update", session=push_to_talk())
            await until(client, "session.updated")
            await client.send(append(bytes(1_000_000)))
            assert (await receive(client))["type"] == "error"
            await send(client, "input_audio_buffer.clear")
            assert (await receive(client))["type"] == "input_audio_buffer.cleared"

    run(main, buffered_audio_bytes=200_000)


def test_a_large_item_is_read_too() -> None:
    async def main(served: Served) -> None:
        async with served.connect() as client:
            audio = base64.b64encode(bytes(2_000_000)).decode()
            item = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": audio}]}
            await send(client, "conversation.item.create", item=item)
            await until(client, "conversation.item.done")

    run(main)


def test_a_frame_above_the_limit_closes_with_1009() -> None:
    async def main(served: Served) -> None:
        async with served.connect() as client:
            await until(client, "session.created")
            await client.send("x" * 100_001)
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009

    run(main, frame_bytes=100_000)


def test_a_broken_frame_closes_with_1002() -> None:
    async def main(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(handshake().encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(masked(0x3, b"no such opcode"))
        rest = await asyncio.wait_for(reader.read(), 5)
        assert rest.endswith(frames.close_frame(1002, "unknown opcode"))
        writer.close()

    run(main)


def test_pings_are_answered_also_between_fragments() -> None:
    async def main(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(handshake().encode())
        await reader.readuntil(b"\r\n\r\n")
        text = b'{"type":"input_audio_buffer.clear"}'
        writer.write(masked(frames.TEXT, text[:9], fin=False) + masked(frames.PING, b"alive?") + masked(0, text[9:]))
        writer.write(masked(frames.CLOSE, struct.pack("!H", 1000)))
        rest = await asyncio.wait_for(reader.read(), 5)
        pong = frames.frame(frames.PONG, b"alive?")
        assert pong in rest
        assert b"input_audio_buffer.cleared" in rest[rest.index(pong) :]
        assert rest.endswith(frames.close_frame(1000, ""))
        writer.close()

    run(main)


# --- slow clients and short limits ---


def test_a_client_that_does_not_read_is_closed_and_hurts_nobody() -> None:
    async def main(served: Served) -> None:
        slow = await served.connect(max_queue=1)
        async with served.connect() as other:
            await until(other, "session.created")
            started = time.monotonic()
            update = json.dumps({"type": "session.update", "session": {"type": "realtime", "instructions": "x" * 100_000}})
            while len(served.state.sessions) == 2:
                await slow.send(update)
                await send(other, "input_audio_buffer.clear")
                await until(other, "input_audio_buffer.cleared")
                assert time.monotonic() - started < 20
            with pytest.raises(ConnectionClosed) as closed:
                await until(slow, "no such event")
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
            await send(other, "input_audio_buffer.clear")
            await until(other, "input_audio_buffer.cleared")

    run(main, outbox_bytes=1_000_000)


def test_a_client_that_vanishes_ends_its_session() -> None:
    async def main(served: Served) -> None:
        client = await served.connect()
        await until(client, "session.created")
        await served.sessions(1)
        client.transport.abort()
        await served.sessions(0)

    run(main)


def test_a_large_append_is_read_in_small_steps() -> None:
    """Between two steps other sessions get their turn. No step has more than a second of audio."""
    audio = bytes(range(256)) * 10_000 + b"\x01"
    frame = append(audio).encode()
    for cut in (64 * 1024, 100_003, len(frame)):
        taken = list(steps([frame[at : at + cut] for at in range(0, len(frame), cut)], GA))
        events = [event for event in taken if event is not None]
        assert b"".join(event.audio for event in events) == audio
        assert {event.event_id for event in events} == {"big"}
        assert len(taken) - len(events) >= len(frame) // (64 * 1024)
        assert max(len(event.audio) for event in events) <= 48 * 1024 + 2
