"""The conversation's entries: an item with its audio, and which of its words were heard."""

from vivavoce.engine_api import Mark
from vivavoce.protocol.objects import PCM, PCMU, InputAudioPart, Message, OutputAudioPart
from vivavoce.session.conversation import Clip, Entry, Marks, entry_of

SECOND = bytes(48_000)
WORDS = [Mark(3, 12_000), Mark(7, 24_000)]


def answer() -> Entry:
    entry = Entry(Message(id="item_1", role="assistant", status="in_progress", content=()))
    entry.add_speech("one two", Clip(SECOND, PCM), WORDS)
    entry.change(status="completed")
    return entry


def test_events_show_no_audio_and_engines_get_the_same_item_each_time() -> None:
    entry = answer()
    assert entry.item == Message(id="item_1", role="assistant", status="completed", content=(OutputAudioPart("one two"),))
    assert entry.heard() is entry.heard() is entry.whole()
    assert entry.heard().content == (OutputAudioPart("one two", SECOND),)


def test_what_was_not_heard_was_never_said() -> None:
    entry = answer()
    entry.heard_samples = 13_000
    assert entry.heard().content == (OutputAudioPart("one", SECOND[:26_000]),)
    assert entry.whole().content == (OutputAudioPart("one two", SECOND),)


def test_a_truncated_answer_keeps_the_marks_of_what_is_left() -> None:
    entry = answer()
    entry.truncate(0, 750)
    entry.heard_samples = 11_000
    assert entry.whole().content == (OutputAudioPart("one", SECOND[:36_000]),)
    assert entry.heard().content == (OutputAudioPart("", SECOND[:22_000]),)


def test_a_clients_audio_is_in_the_input_format_unless_it_says_otherwise() -> None:
    parts = (InputAudioPart(b"\x7f" * 800), InputAudioPart(bytes(480), format=PCM))
    entry = entry_of(Message(id="item_1", role="user", content=parts), PCMU)
    assert entry.whole().content == (InputAudioPart(b"\x7f" * 800, format=PCMU), InputAudioPart(bytes(480)))
    assert entry.item.content == (InputAudioPart(), InputAudioPart())


def test_marks_come_back_as_they_were_and_nonsense_does_no_harm() -> None:
    assert list(Marks(0, WORDS)) == WORDS
    assert list(Marks(0, [Mark(-1, 2**40)])) == [Mark(0, 2**32 - 1)]
