"""What a model has to answer, read from a conversation."""

import pytest

from vivavoce.engines.history import heard_nothing
from vivavoce.protocol.objects import (
    FunctionCall,
    FunctionCallOutput,
    InputAudioPart,
    InputImagePart,
    InputTextPart,
    Item,
    Message,
    OutputAudioPart,
)

COUGH = Message(role="user", content=(InputAudioPart(b"..", transcript=""),))
SPEECH = Message(role="user", content=(InputAudioPart(b"..", transcript="What time is it?"),))
TEXT = Message(role="user", content=(InputTextPart("hello"),))
ANSWER = Message(role="assistant", content=(OutputAudioPart(transcript="It is five."),))
UNHEARD = Message(role="assistant", status="incomplete", content=(OutputAudioPart(transcript=""),))
NOTE = Message(role="system", content=(InputTextPart("Ask whether anybody is there."),))
CALL = FunctionCall(call_id="c", name="f", arguments="{}")
OUTPUT = FunctionCallOutput(call_id="c", output="4")
PICTURE = Message(role="user", content=(COUGH.content[0], InputImagePart(image_url="data:,")))


@pytest.mark.parametrize(
    "items",
    [
        (COUGH,),
        (COUGH, COUGH),
        (SPEECH, ANSWER, COUGH),
        (NOTE, COUGH),
        (SPEECH, ANSWER, NOTE, COUGH),
        (SPEECH, CALL, COUGH),
    ],
)
def test_nothing_but_noise_since_the_last_answer(items: tuple[Item, ...]) -> None:
    assert heard_nothing(items)


@pytest.mark.parametrize(
    "items",
    [
        (),
        (NOTE,),
        (SPEECH,),
        (TEXT,),
        (SPEECH, ANSWER),
        (COUGH, SPEECH),
        (SPEECH, COUGH),
        (SPEECH, UNHEARD, COUGH),
        (SPEECH, ANSWER, COUGH, NOTE),
        (SPEECH, CALL, OUTPUT),
        (SPEECH, CALL, OUTPUT, COUGH),
        (PICTURE,),
    ],
)
def test_something_that_has_to_be_answered(items: tuple[Item, ...]) -> None:
    assert not heard_nothing(items)
