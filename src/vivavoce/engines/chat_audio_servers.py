"""What servers of the chat-completions audio protocol differ in. Taken from their manuals; answers are read all alike."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

ServerName = Literal["openai", "vllm_omni", "sglang_omni", "dashscope"]
TokensField = Literal["max_tokens", "max_completion_tokens"]


class AudioServer(Struct, frozen=True, kw_only=True):
    """A kind of server."""

    url: str = ""
    """Where it usually is. Empty for all that are not on this machine: nobody's voice goes anywhere by default."""
    model: str = ""
    """Empty: the first that the server lists."""
    format: str = "pcm16"
    """What to ask for, so that bare PCM16 comes."""
    voice: str | None = None
    """For names that the operator did not map. `None`: the name that the client gave; empty: say nothing."""
    data_url: bool = False
    """Sound goes as `data:;base64,…`."""
    keeps_answers: bool = False
    """It remembers what it said by `audio.id`, for a while."""
    calls_tools: bool = True
    tokens_field: TokensField = "max_tokens"


SERVERS: Final[dict[str, AudioServer]] = {
    "openai": AudioServer(model="gpt-audio", keeps_answers=True, tokens_field="max_completion_tokens"),
    # Its default is a whole WAV file in each delta.
    "vllm_omni": AudioServer(url="http://127.0.0.1:8091/v1", voice=""),
    # It reads `tools` and does nothing with them.
    "sglang_omni": AudioServer(format="pcm", voice="", calls_tools=False),
    # It takes no other format than `wav`, and sends PCM16 without a head.
    "dashscope": AudioServer(model="qwen3-omni-flash", format="wav", voice="Cherry", data_url=True),
}
