"""A transcriber, a chat model and a synthesizer as one engine: what it can do, and how it finds and starts its parts."""

import asyncio
from typing import Any

import pytest

from tests.engines.fakes import FakeChatModel, FakeSynthesizer, FakeTranscriber
from vivavoce.engines.cascade import Cascade
from vivavoce.protocol.errors import EngineError, SettingsError


def test_capabilities_come_from_the_parts() -> None:
    cascade = Cascade.of(FakeTranscriber(), FakeChatModel(), FakeSynthesizer())
    assert cascade.capabilities.voices == ("alloy", "echo")
    assert cascade.capabilities.context_tokens == 1000
    assert cascade.capabilities.listens
    assert cascade.capabilities.transcribes


def test_a_part_that_cannot_start_is_named_and_the_others_are_closed() -> None:
    closed = []

    class NoVoice(FakeSynthesizer):
        async def start(self) -> None:
            raise EngineError("no_voice", "There is no voice.")

    class Model(FakeChatModel):
        async def close(self) -> None:
            closed.append("model")

    with pytest.raises(EngineError, match=r"NoVoice: There is no voice\.") as raised:
        asyncio.run(Cascade.of(FakeTranscriber(), Model(), NoVoice()).start())
    assert raised.value.code == "no_voice"
    assert closed == ["model"]


def test_parts_are_found_by_name_or_path_and_get_their_own_options(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    module = types.ModuleType("my_parts")
    for part in (FakeTranscriber, FakeChatModel, FakeSynthesizer):

        class WithOptions(part):
            def __init__(self, options: dict[str, Any]) -> None:
                super().__init__()
                self.options = options

        setattr(module, part.__name__, WithOptions)
    monkeypatch.setitem(sys.modules, "my_parts", module)
    cascade = Cascade(
        {
            "transcriber": "my_parts:FakeTranscriber",
            "chat_model": "my_parts:FakeChatModel",
            "synthesizer": "my_parts:FakeSynthesizer",
            "my_parts:FakeChatModel": {"mood": "fine"},
        }
    )
    assert cascade._chat_model.options == {"mood": "fine"}
    assert cascade._synthesizer.options == {}


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"transcriber": "ears"}, "No transcriber named 'ears'. There are: "),
        ({"speaker": "espeak"}, "engines.cascade: unknown option 'speaker'. Known: transcriber, chat_model, synthesizer, "),
        ({"chat_model": 3}, "engines.cascade.chat_model: write a name or module:Class."),
        ({"chat_model": {}}, "engines.cascade.chat_model: write a name or module:Class."),
    ],
)
def test_options_that_are_wrong_are_named(options: dict[str, Any], line: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Cascade(options)
    assert str(raised.value).startswith(line)
