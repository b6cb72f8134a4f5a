"""The laws of the design, over thousands of random interleavings of clients, engines and clocks."""

from __future__ import annotations

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.simulation import World
from vivavoce.engine_api import Generate
from vivavoce.protocol.objects import InputAudioPart, Message, OutputAudioPart
from vivavoce.protocol.server_events import ConversationItemTruncated, ResponseCreated, ServerEventBase
from vivavoce.session.boundary import Disconnected, Output
from vivavoce.session.session import Session

number = st.integers(0, 999)
steps = st.lists(st.tuples(number, number, number), max_size=120)
interleavings = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def played(world: World, script: list[tuple[int, int, int]]) -> World:
    for a, b, c in script:
        world.step(a, b, c)
        if world.session.deadline() is None:
            break
    return world


@interleavings
@given(steps, st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_whatever_happens_the_laws_hold(
    script: list[tuple[int, int, int]], limited: bool, listens: bool, drafts: bool, confirms: bool
) -> None:
    """Laws 1, 2, 3, 4, 6, 9 and 10 are checked by `World` after each step, and that nothing of a draft leaves too early."""
    played(World(rate_limited=limited, listens=listens, drafts=drafts, confirms=confirms), script)


@interleavings
@given(steps)
def test_a_client_that_leaves_leaves_nothing_open(script: list[tuple[int, int, int]]) -> None:
    """Law 2, to the end. A draft is dropped then, if there is one: each `Generate` has one end."""
    world = played(World(drafts=True, confirms=True), script)
    world.handle(Disconnected())
    assert not world.open_responses
    assert not world.drafts
    assert world.session.handle(Disconnected(), world.now) == []


@interleavings
@given(steps)
def test_a_response_works_from_a_snapshot(script: list[tuple[int, int, int]]) -> None:
    """Law 5. What an engine was asked does not change behind its back."""
    asked: dict[str, Generate] = {}

    def remember(output: Output) -> None:
        if isinstance(output, Generate):
            asked[output.response_id] = output

    world = played(World(drafts=True, see=remember), script)
    world.snapshot_unchanged(asked)


@interleavings
@given(steps)
def test_the_order_of_items_is_what_the_client_was_told(script: list[tuple[int, int, int]]) -> None:
    """Law 7. A client that inserts after `previous_item_id` has the same list as the server."""
    mirror: list[str | None] = []

    def follow(output: Output) -> None:
        name = type(output).__name__
        if name == "ConversationItemAdded":
            previous = output.previous_item_id
            mirror.insert(0 if previous is None else mirror.index(previous) + 1, output.item.id)
        elif name == "ConversationItemDeleted":
            mirror.remove(output.item_id)

    world = played(World(drafts=True, confirms=True, see=follow), script)
    assert mirror == [entry.id for entry in world.session._state.conversation]


@interleavings
@given(steps)
def test_truncation_never_lengthens(script: list[tuple[int, int, int]]) -> None:
    """Law 8. Neither audio nor words."""
    world = World()
    before: dict[str, tuple[int, str]] = {}
    for a, b, c in script:
        outputs_seen = len(world.outputs)
        world.step(a, b, c)
        truncated = {
            output.item_id
            for outputs in world.outputs[outputs_seen:]
            for output in outputs
            if isinstance(output, ConversationItemTruncated)
        }
        now = _sizes(world.session)
        for item_id in truncated & before.keys() & now.keys():
            assert now[item_id][0] <= before[item_id][0]
            assert before[item_id][1].startswith(now[item_id][1])
        before = now
        if world.session.deadline() is None:
            break


def _sizes(session: Session) -> dict[str, tuple[int, str]]:
    sizes = {}
    for entry in session._state.conversation:
        item = entry.whole()
        if isinstance(item, Message) and item.status != "in_progress":
            parts = [part for part in item.content if isinstance(part, OutputAudioPart)]
            audio = sum(len(part.audio) for part in parts if part.audio is not msgspec.UNSET)
            sizes[entry.id] = (audio, "".join(part.transcript for part in parts))
    return sizes


@interleavings
@given(steps, st.booleans(), st.booleans())
def test_a_replay_is_identical(script: list[tuple[int, int, int]], limited: bool, drafts: bool) -> None:
    """Law 11. The same inputs at the same times give the same outputs, bit for bit."""
    world = played(World(rate_limited=limited, drafts=drafts, confirms=drafts), script)
    again = Session(world.setup)
    again.open(0.0)
    for (now, event), outputs in zip(world.inputs, _in_order(world), strict=True):
        assert msgspec.json.encode(again.handle(event, now)) == msgspec.json.encode(outputs)


def _in_order(world: World) -> list[list[Output]]:
    return world.outputs


@interleavings
@given(steps)
def test_a_dropped_draft_leaves_no_trace_and_a_kept_one_answers_what_was_said(script: list[tuple[int, int, int]]) -> None:
    """A session without drafts sends the very same, up to the first draft that is kept. That one asks for the same."""
    world = played(World(drafts=True), script)
    plain = Session(msgspec.structs.replace(world.setup, draft_after_ms=None))
    plain.open(0.0)
    for (now, event), outputs in zip(world.inputs, world.outputs, strict=True):
        without = plain.handle(event, now)
        drafted = [output.response.id for output in outputs if isinstance(output, ResponseCreated)]
        if any("draft" in response_id for response_id in drafted):
            due = next(output for output in without if isinstance(output, Generate))
            asked = msgspec.json.decode(world.generates[drafted[0]], type=Generate)
            assert _bare(asked) == _bare(due)
            assert _recording(due).startswith(_recording(asked))
            return
        assert _sent(outputs) == _sent(without)


def _sent(outputs: list[Output]) -> list[bytes]:
    return [msgspec.json.encode(output) for output in outputs if isinstance(output, ServerEventBase)]


def _recording(generate: Generate) -> bytes:
    """The newest item's audio."""
    said = generate.items[-1]
    assert isinstance(said, Message)
    part = said.content[0]
    assert isinstance(part, InputAudioPart)
    assert part.audio is not msgspec.UNSET
    return part.audio


def _bare(generate: Generate) -> Generate:
    """What two responses to the same turn have in common."""
    return msgspec.structs.replace(generate, response_id="", items=generate.items[:-1])


@interleavings
@given(steps, st.booleans())
def test_listening_early_hears_exactly_the_turn(script: list[tuple[int, int, int]], drafts: bool) -> None:
    """Law 6, for engines that listen: the chunks of an item, joined, are the audio of the item."""
    world = played(World(listens=True, drafts=drafts, confirms=drafts), script)
    if world.reformatted:
        return
    for entry in world.session._state.conversation:
        item = entry.whole()
        if entry.id in world.listened and isinstance(item, Message):
            assert isinstance(part := item.content[0], InputAudioPart)
            assert bytes(world.listened[entry.id]) == part.audio
