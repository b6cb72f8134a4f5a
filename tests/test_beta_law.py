"""Law 13: downgrade(upgrade(x)) loses nothing that beta can say. Sessions, items and responses, as hypothesis finds them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import response
from vivavoce.protocol import objects as o
from vivavoce.protocol import server_events as s
from vivavoce.protocol.beta import BETA, upgrade_session
from vivavoce.protocol.config import RealtimeSession, SessionConfig
from vivavoce.session.configuration import updated


def decode(event: Any) -> Any:
    return BETA.decode(json.dumps(event))


def encode(event: s.ServerEventBase) -> dict[str, Any]:
    frame = BETA.encode(event)
    assert frame is not None
    return dict(json.loads(frame))


words = st.text(max_size=20)
formats = st.sampled_from(["pcm16", "g711_ulaw", "g711_alaw"])
modalities = st.sampled_from([["text"], ["text", "audio"]])
tools = st.lists(
    st.fixed_dictionaries({"type": st.just("function"), "name": words}, optional={"description": words}), max_size=2
)
max_tokens = st.integers(1, 4096) | st.just("inf")
transcriptions = st.fixed_dictionaries({"model": words}, optional={"language": words, "prompt": words})
waits = st.integers(0, 5000)
answers = {"create_response": st.booleans(), "interrupt_response": st.booleans()}
server_vad = st.fixed_dictionaries(
    {"type": st.just("server_vad")},
    optional={
        "threshold": st.floats(0, 1),
        "prefix_padding_ms": waits,
        "silence_duration_ms": waits,
        "idle_timeout_ms": st.integers(5000, 30000),
        **answers,
    },
)
semantic_vad = st.fixed_dictionaries(
    {"type": st.just("semantic_vad")}, optional={"eagerness": st.sampled_from(["low", "medium", "high", "auto"]), **answers}
)
sessions = st.fixed_dictionaries(
    {},
    optional={
        "modalities": modalities,
        "instructions": words,
        "voice": words,
        "model": words,
        "input_audio_format": formats,
        "output_audio_format": formats,
        "input_audio_transcription": st.none() | transcriptions,
        "turn_detection": st.none() | server_vad | semantic_vad,
        "input_audio_noise_reduction": st.none() | st.sampled_from([{"type": "near_field"}, {"type": "far_field"}]),
        "tools": tools,
        "tool_choice": st.sampled_from(["auto", "none", "required"]),
        "temperature": st.floats(0.6, 1.2),
        "max_response_output_tokens": max_tokens,
        "speed": st.floats(0.25, 1.5),
        "tracing": st.none() | st.just("auto") | st.fixed_dictionaries({"workflow_name": words}),
        "include": st.none() | st.just(["item.input_audio_transcription.logprobs"]),
        "prompt": st.none() | st.fixed_dictionaries({"id": words}),
    },
)


@settings(max_examples=300, deadline=None)
@given(sessions)
def test_a_session_loses_nothing(session: dict[str, Any]) -> None:
    event = decode({"type": "session.update", "session": session})
    config = updated(SessionConfig(), event.session)
    values = {name: getattr(config, name) for name in config.__struct_fields__}
    shown = encode(s.SessionUpdated(session=RealtimeSession(id="sess_1", expires_at=1, **values)))["session"]
    for name, value in session.items():
        # Defaults are filled in, so an object may come back with more than was said; what was said is there.
        assert shown[name] == (shown[name] | value if isinstance(value, dict) else value)


@settings(max_examples=100, deadline=None)
@given(sessions)
def test_upgrading_twice_changes_nothing(session: dict[str, Any]) -> None:
    once = upgrade_session(session)
    assert upgrade_session(once) == once


ids = st.text("abc_0", min_size=1, max_size=8)
user_parts = st.builds(lambda text: {"type": "input_text", "text": text}, words) | st.builds(
    lambda text: {"type": "input_audio", "audio": "AAAA", "transcript": text}, words
)
assistant_parts = st.builds(lambda text: {"type": "text", "text": text}, words) | st.builds(
    lambda text: {"type": "audio", "transcript": text}, words
)
system_parts = st.builds(lambda text: {"type": "input_text", "text": text}, words)
items = st.one_of(
    *(
        st.fixed_dictionaries(
            {"id": ids, "type": st.just("message"), "role": st.just(role), "content": st.lists(parts, max_size=3)},
            optional={"status": st.sampled_from(["completed", "incomplete"])},
        )
        for role, parts in (("user", user_parts), ("assistant", assistant_parts), ("system", system_parts))
    ),
    st.fixed_dictionaries(
        {"id": ids, "type": st.just("function_call"), "call_id": ids, "name": words, "arguments": words},
        optional={"status": st.just("completed")},
    ),
    st.fixed_dictionaries({"id": ids, "type": st.just("function_call_output"), "call_id": ids, "output": words}),
)


@settings(max_examples=300, deadline=None)
@given(items)
def test_an_item_loses_nothing(item: dict[str, Any]) -> None:
    event = decode({"type": "conversation.item.create", "item": item})
    shown = encode(s.ConversationItemAdded(previous_item_id=None, item=event.item))["item"]
    assert shown == item | {"object": "realtime.item"}


params = st.fixed_dictionaries(
    {"modalities": modalities, "voice": words, "output_audio_format": formats, "temperature": st.floats(0.6, 1.2)},
    optional={"max_output_tokens": max_tokens, "metadata": st.none() | st.dictionaries(words, words, max_size=3)},
)


@settings(max_examples=200, deadline=None)
@given(params)
def test_a_response_loses_nothing(asked: dict[str, Any]) -> None:
    given_params = decode({"type": "response.create", "response": asked}).response
    fields = {
        name: getattr(given_params, name) for name in ("output_modalities", "temperature", "max_output_tokens", "metadata")
    }
    fields = {name: value for name, value in fields.items() if value is not msgspec.UNSET}
    output = given_params.audio.output
    live = response(**fields, audio=o.ResponseAudio(o.ResponseAudioOutput(output.format, output.voice)))
    shown = encode(s.ResponseCreated(response=live))["response"]
    assert {name: shown[name] for name in asked} == asked
