"""What the session does at its edges, where a transcript would be too long to read."""

from __future__ import annotations

import msgspec
import pytest

from vivavoce.engine_api import Capabilities, Generate, OutputAudio, OutputText
from vivavoce.protocol.client_events import (
    ConversationItemCreate,
    ConversationItemRetrieve,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    ResponseCreate,
    SessionUpdate,
)
from vivavoce.protocol.codec import GA, MAX_FRAME_BYTES
from vivavoce.protocol.config import SessionConfig
from vivavoce.protocol.objects import InputAudioPart, Message
from vivavoce.protocol.server_events import (
    ConversationItemRetrieved,
    Error,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputTextDelta,
    ServerEventBase,
    SessionUpdated,
)
from vivavoce.session.boundary import Input, Output, Setup
from vivavoce.session.listening import MAX_APPEND_BYTES
from vivavoce.session.response import MAX_CHARACTERS
from vivavoce.session.session import Session

PUSH_TO_TALK = {"audio": {"input": {"turn_detection": None}}}


@pytest.fixture
def session() -> Session:
    config = SessionConfig(model="m")
    session = Session(Setup(seed="s", config=config, capabilities=Capabilities(), expires_at=1))
    session.open(0.0)
    return session


def give(session: Session, event: Input) -> list[Output]:
    """Hand in an input; every frame that follows fits the wire."""
    outputs = session.handle(event, 0.0)
    for output in outputs:
        if isinstance(output, ServerEventBase):
            frame = GA.encode(output)
            assert frame is None or len(frame) < MAX_FRAME_BYTES
    return outputs


def test_fifteen_mebibytes_are_appended_and_one_more_is_not(session: Session) -> None:
    give(session, SessionUpdate(session=PUSH_TO_TALK))
    assert give(session, InputAudioBufferAppend(audio=bytes(MAX_APPEND_BYTES))) == []
    (error,) = give(session, InputAudioBufferAppend(audio=bytes(MAX_APPEND_BYTES + 1)))
    assert isinstance(error, Error)
    assert error.error.param == "audio"
    assert len(give(session, InputAudioBufferCommit())) == 3


def test_a_long_recording_is_retrieved_as_far_as_a_frame_holds(session: Session) -> None:
    give(session, SessionUpdate(session=PUSH_TO_TALK))
    give(session, InputAudioBufferAppend(audio=bytes(range(256)) * 8000))
    give(session, InputAudioBufferCommit())
    (retrieved,) = give(session, ConversationItemRetrieve(item_id="item_s0"))
    assert isinstance(retrieved, ConversationItemRetrieved)
    assert isinstance(retrieved.item, Message)
    (part,) = retrieved.item.content
    assert isinstance(part, InputAudioPart)
    assert len(part.audio) == 700 * 1024
    assert part.audio == (bytes(range(256)) * 8000)[: len(part.audio)]


def test_long_outputs_leave_in_frames_that_fit(session: Session) -> None:
    give(session, ResponseCreate())
    audio = bytes(3_000_000)
    sent = give(session, OutputAudio("resp_s0", audio))
    assert b"".join(event.delta for event in sent if isinstance(event, ResponseOutputAudioDelta)) == audio


def test_an_endless_text_ends(session: Session) -> None:
    """The worst characters take six bytes in JSON, and `response.done` repeats them all."""
    give(session, ResponseCreate())
    text = "\x01" * 1_000_000
    sent = give(session, OutputText("resp_s0", text))
    deltas = [event.delta for event in sent if isinstance(event, ResponseOutputTextDelta)]
    assert "".join(deltas) == text[:MAX_CHARACTERS]
    assert isinstance(sent[-1], ResponseDone)
    assert sent[-1].response.status == "incomplete"


def test_many_large_updates_never_outgrow_a_frame(session: Session) -> None:
    """Each update is small enough for the codec; together they would not fit `session.updated`."""
    long = "x" * 250_000
    updates = (
        {"instructions": long},
        {"tracing": {"group_id": long}},
        {"prompt": {"id": long}},
        {"reasoning": {"effort": long}},
    )
    answers = [give(session, SessionUpdate(session=update))[0] for update in updates]
    assert [type(answer) for answer in answers] == [SessionUpdated, SessionUpdated, SessionUpdated, Error]


def test_an_engine_gets_the_bytes_that_the_client_sent(session: Session) -> None:
    audio = bytes(range(250)) * 100
    item = Message(role="user", content=(InputAudioPart(audio=audio),))
    give(session, ConversationItemCreate(item=item))
    command = next(output for output in give(session, ResponseCreate()) if isinstance(output, Generate))
    assert isinstance(command.items[0], Message)
    part = command.items[0].content[0]
    assert isinstance(part, InputAudioPart)
    assert part.audio == audio
    assert part.format is msgspec.UNSET
