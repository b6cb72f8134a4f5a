"""Chat completions that hear and speak, in the dialect of each kind of server; see `upstream_server`."""

import json
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from typing import Any

from tests.engines.upstream_server import Out, Received, called, chunk, models
from vivavoce.engines.sine_voice import say
from vivavoce.engines.wav import read_wav, wav_header

Tell = Callable[[Out, list[tuple[str, bytes]]], Awaitable[None]]
"""Sends words with their sound."""


def base64(sound: bytes) -> str:
    return b64encode(sound).decode()


def wav(pcm: bytes, rate_hz: int = 24_000) -> bytes:
    return wav_header(rate_hz, len(pcm)) + pcm


def heard(body: dict[str, Any]) -> str:
    """What was said last: the text, or how long the sound is."""
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return content.splitlines()[-1]
    sound = content[-1]["input_audio"]["data"].removeprefix("data:;base64,")
    samples, rate_hz = read_wav(b64decode(sound))
    return f"{len(samples) / rate_hz:.2f} seconds of sound"


async def openai(out: Out, spoken: list[tuple[str, bytes]]) -> None:
    """The words run ahead of the sound."""
    await out.event(chunk(role="assistant", content=None, audio={"id": "audio_7", "transcript": ""}))
    for word, _ in spoken:
        await out.event(chunk(audio={"id": "audio_7", "transcript": word}))
    for _, pcm in spoken:
        await out.event(chunk(audio={"data": base64(pcm)}))
    await out.event(chunk(audio={"id": "audio_7", "expires_at": 4_000_000_000}))
    await out.event(chunk("stop"))
    usage = {
        "prompt_tokens": 21,
        "completion_tokens": 30,
        "prompt_tokens_details": {"audio_tokens": 10, "cached_tokens": 5},
        "completion_tokens_details": {"audio_tokens": 20},
    }
    await out.event({"choices": [], "usage": usage})


async def vllm_omni(out: Out, spoken: list[tuple[str, bytes]]) -> None:
    """All the words and their end, then the sound."""
    for word, _ in spoken:
        await out.event({**chunk(content=word), "modality": "text"})
    await out.event({**chunk("stop", content=""), "modality": "text"})
    metadata = {"format": "pcm16", "sample_rate_hz": 24_000, "channels": 1}
    for _, pcm in spoken:
        await out.event({**chunk(content=base64(pcm)), "modality": "audio", "audio_metadata": metadata})
    await out.event({**chunk("stop", content=""), "modality": "audio"})


async def vllm_omni_wav(out: Out, spoken: list[tuple[str, bytes]]) -> None:
    """What it does by itself: a whole file in each delta."""
    for word, pcm in spoken:
        await out.event({**chunk(content=word), "modality": "text"})
        await out.event({**chunk(content=base64(wav(pcm))), "modality": "audio"})


async def sglang_omni(out: Out, spoken: list[tuple[str, bytes]]) -> None:
    """Words and sound in the same delta."""
    for word, pcm in spoken:
        await out.event(chunk(content=word, audio={"id": "a", "data": base64(pcm), "format": "pcm"}))
    await out.event(chunk("stop"))


async def dashscope(out: Out, spoken: list[tuple[str, bytes]]) -> None:
    """Words, then the base64 of all the sound, cut where it happens to be."""
    for word, _ in spoken:
        await out.event(chunk(content=word))
    text = base64(b"".join(pcm for _, pcm in spoken))
    for start in range(0, len(text), 9_999):
        await out.event(chunk(content="", audio={"data": text[start : start + 9_999], "expires_at": 1}))
    await out.event(chunk("stop"))


DIALECTS: dict[str, Tell] = {
    "openai": openai,
    "vllm_omni": vllm_omni,
    "sglang_omni": sglang_omni,
    "dashscope": dashscope,
}


def speaking(dialect: str) -> Callable[[Received, Out], Awaitable[None]]:
    """A server that says back what it was told; calls a tool whose name it hears; FALL fails; RECALL repeats its answers."""

    async def answer(request: Received, out: Out) -> None:
        if request.path.endswith("/models"):
            await models(request, out)
        elif not request.json["stream"]:
            await out.whole(400, "application/json", b'{"error": {"message": "Only streaming."}}')
        else:
            await _chat(request.json, out, DIALECTS[dialect])
            await out.event("[DONE]")

    return answer


async def _chat(body: dict[str, Any], out: Out, tell: Tell) -> None:
    said = heard(body)
    if "FALL" in said:
        await out.whole(500, "text/html", b"<html><h1>Internal Server Error</h1></html>")
        out.cut()
    await out.head()
    for tool in body.get("tools", ()):
        if (name := tool["function"]["name"]) in said:
            await out.event(chunk(tool_calls=[called(name, "", index=0, id="call_7")]))
            await out.event(chunk("tool_calls", tool_calls=[{"index": 0, "function": {"arguments": '{"city": "Paris"}'}}]))
            return
    answer = f"You said: {said}"
    if "RECALL" in said:
        answer = "I said: " + json.dumps([m.get("content") for m in body["messages"] if m["role"] == "assistant"])
    words = [(word.text, word.pcm) for word in say(answer)]
    if "audio" in body["modalities"]:
        await tell(out, words)
    else:
        for word, _ in words:
            await out.event(chunk(content=word))
        await out.event(chunk("stop"))
