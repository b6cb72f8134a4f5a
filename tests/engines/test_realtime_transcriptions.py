"""`realtime`: the user's words, which the other server writes down."""

from tests.engines.probe import with_speech
from tests.engines.realtime_scene import SPEECH, Scene, scene
from tests.engines.realtime_upstream_server import Upstream
from vivavoce.engine_api import Listen, Transcribe, TranscriptDelta, TranscriptDone, TranscriptFailed
from vivavoce.protocol.objects import PCM


def test_the_servers_words_pass_through_in_order_also_before_they_are_asked_for() -> None:
    async def behave(upstream: Upstream) -> None:
        await upstream.next("input_audio_buffer.commit")
        await upstream.say("input_audio_buffer.committed", item_id="theirs_1", previous_item_id=None)
        kind = "conversation.item.input_audio_transcription"
        for delta in ("Good ", "morning."):
            await upstream.say(f"{kind}.delta", item_id="theirs_1", delta=delta)
        await upstream.say(f"{kind}.completed", item_id="theirs_1", transcript="Good morning.")
        await upstream.next("input_audio_buffer.commit")
        await upstream.say("input_audio_buffer.committed", item_id="theirs_2", previous_item_id="theirs_1")
        await upstream.say(f"{kind}.failed", item_id="theirs_2", error={"message": "too  quiet"})

    async def play(scene: Scene) -> None:
        probe = scene.probe
        probe.session.submit(Listen("item_1", SPEECH, PCM, final=True))
        probe.session.submit(Transcribe(item_id="item_1", audio=SPEECH, format=PCM, language="en"))
        done = await probe.until(lambda event: isinstance(event, TranscriptDone))
        assert done == TranscriptDone("item_1", "Good morning.")
        assert [event.text for event in probe.events if isinstance(event, TranscriptDelta)] == ["Good ", "morning."]
        # One that was not listened to is sent now.
        probe.session.submit(Transcribe(item_id="item_2", audio=SPEECH, format=PCM, language="en"))
        failed = await probe.until(lambda event: isinstance(event, TranscriptFailed))
        assert failed.message == "The Realtime server did not understand: too quiet"
        sessions = [event["session"] for event in scene.server.seen if event["type"] == "session.update"]
        assert sessions[0]["audio"]["input"]["transcription"]["model"] == "gpt-4o-transcribe"

    scene(play, behave, transcription="gpt-4o-transcribe")


def test_speech_that_is_to_be_written_down_and_answered_goes_up_once() -> None:
    async def play(scene: Scene) -> None:
        scene.probe.session.submit(Transcribe(item_id="item_1", audio=SPEECH, format=PCM))
        assert (await scene.ask(with_speech(SPEECH, "item_1"))).transcript == "Hello."
        assert scene.said.count("input_audio_buffer.commit") == 1
        assert "conversation.item.create" not in scene.said

    scene(play, transcription="any")


def test_a_click_is_not_written_down() -> None:
    async def play(scene: Scene) -> None:
        scene.probe.session.submit(Transcribe(item_id="item_1", audio=bytes(480), format=PCM))
        failed = await scene.probe.until(lambda event: isinstance(event, TranscriptFailed))
        assert failed.message == "It is too short to be understood."

    scene(play, transcription="any")


def test_while_somebody_speaks_nothing_else_is_heard() -> None:
    async def play(scene: Scene) -> None:
        scene.probe.session.submit(Listen("item_2", SPEECH, PCM))
        scene.probe.session.submit(Transcribe(item_id="item_1", audio=SPEECH, format=PCM))
        failed = await scene.probe.until(lambda event: isinstance(event, TranscriptFailed))
        assert failed.code == "transcription_unavailable"

    scene(play, transcription="any")
