"""What waits for the loudspeaker, and what was heard of it."""

from __future__ import annotations

import threading

from vivavoce.client.playout import Cut, Playout, SimulatedLoudspeaker

MS = 2
"""Bytes in a millisecond, to keep the numbers small."""


def test_audio_comes_out_in_order_and_in_any_portions() -> None:
    playout = Playout(MS)
    playout.push("a", 0, b"abc")
    playout.push("a", 0, b"defg")
    assert [playout.pull(2), playout.pull(4), playout.pull(9), playout.pull(9)] == [b"ab", b"cdef", b"g", b""]


def test_waiting_time() -> None:
    playout = Playout(MS)
    playout.push("a", 0, bytes(20))
    playout.pull(5)
    assert playout.waiting_ms == 7.5


def test_flush_says_how_much_of_each_item_was_heard() -> None:
    playout = Playout(MS)
    playout.push("a", 0, bytes(20))
    playout.push("b", 1, bytes(20))
    playout.push("c", 0, bytes(20))
    playout.pull(25)
    assert playout.flush() == [Cut("b", 1, 2), Cut("c", 0, 0)]
    assert playout.pull(9) == b""
    assert playout.waiting_ms == 0


def test_nothing_is_cut_where_all_was_heard() -> None:
    playout = Playout(MS)
    playout.push("a", 0, bytes(20))
    playout.pull(20)
    assert playout.flush() == []


def test_what_arrives_after_the_cut_is_dropped() -> None:
    playout = Playout(MS)
    playout.push("a", 0, bytes(20))
    playout.flush()
    playout.push("a", 0, bytes(20))
    playout.push("b", 0, b"next")
    assert playout.pull(99) == b"next"


def test_no_byte_is_lost_or_doubled_between_threads() -> None:
    playout = Playout(MS)
    sound = bytes(range(256)) * 200
    pulled = bytearray()
    pusher = threading.Thread(target=lambda: [playout.push("a", 0, sound[at : at + 7]) for at in range(0, len(sound), 7)])
    pusher.start()
    while pusher.is_alive() or playout.waiting_ms:
        pulled += playout.pull(11)
    assert bytes(pulled) == sound


def test_a_simulated_loudspeaker_plays_by_the_clock() -> None:
    speaker = SimulatedLoudspeaker(MS)
    speaker.push("a", 0, bytes(1000 * MS), now=10.0)
    assert speaker.ends_at(10.4) == 11.0
    assert speaker.flush(10.75) == [Cut("a", 0, 750)]


def test_a_simulated_loudspeaker_waits_where_it_runs_dry() -> None:
    speaker = SimulatedLoudspeaker(MS)
    speaker.push("a", 0, bytes(100 * MS), now=10.0)
    speaker.push("a", 0, bytes(100 * MS), now=11.0)
    assert speaker.flush(11.05) == [Cut("a", 0, 150)]


def test_many_small_steps_add_up() -> None:
    speaker = SimulatedLoudspeaker(MS)
    for step in range(1000):
        speaker.push("a", 0, bytes(MS), now=10 + step * 0.0004)
    assert speaker.flush(10.4) == [Cut("a", 0, 400)]
