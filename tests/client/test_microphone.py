"""A recording plays as a microphone would send it. Time is the fake clock's."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from tests.engines.fake_clock import run_on_fake_clock
from vivavoce.audio import Encoding, Samples
from vivavoce.client.microphone import Microphone


class Sent:
    """What was sent, and when."""

    def __init__(self, encoding: Encoding = "audio/pcm", paced: bool = True) -> None:
        self.loop = asyncio.get_running_loop()
        self.moments: list[float] = []
        self.audio = bytearray()
        self.microphone = Microphone(self.send, encoding, paced, self.loop.time)

    async def send(self, event: dict[str, Any]) -> None:
        assert event["type"] == "input_audio_buffer.append"
        self.moments.append(round(self.loop.time(), 6))
        self.audio += event["audio"]


def noise(samples: int) -> Samples:
    return np.random.default_rng(1).integers(-9000, 9000, samples).astype(np.int16)


def ignore(spoken: float, total: float) -> None:
    """No progress is shown."""


def test_twenty_milliseconds_leave_when_they_are_over() -> None:
    async def scene() -> None:
        sent = Sent()
        samples = noise(2400)
        await sent.microphone.play(samples, ignore)
        assert sent.moments == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
        assert bytes(sent.audio) == samples.tobytes()

    run_on_fake_clock(scene())


def test_a_slow_socket_does_not_move_the_schedule() -> None:
    async def scene() -> None:
        sent = Sent()

        async def slow(event: dict[str, Any]) -> None:
            await sent.send(event)
            await asyncio.sleep(0.015)

        sent.microphone._send = slow
        await sent.microphone.play(noise(2400), ignore)
        assert sent.moments == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])

    run_on_fake_clock(scene())


def test_silence_goes_on_until_the_next_recording() -> None:
    async def scene() -> None:
        sent = Sent()
        await sent.microphone.play(noise(480), ignore)
        sent.microphone.leave_open()
        await asyncio.sleep(0.1)
        await sent.microphone.play(noise(480), ignore)
        await asyncio.sleep(1)
        assert np.diff(sent.moments) == pytest.approx(0.02)
        silence = np.frombuffer(bytes(sent.audio), "<i2")[480:-480]
        assert silence.size >= 4 * 480
        assert not silence.any()

    run_on_fake_clock(scene())


def test_a_shut_microphone_does_not_catch_up() -> None:
    async def scene() -> None:
        sent = Sent()
        await sent.microphone.play(noise(480), ignore)
        await asyncio.sleep(10)
        await sent.microphone.play(noise(960), ignore)
        assert sent.moments == pytest.approx([0.02, 10.04, 10.06])

    run_on_fake_clock(scene())


def test_positions_are_the_moments_at_which_they_were_spoken() -> None:
    async def scene() -> None:
        sent = Sent()
        await asyncio.sleep(5)
        await sent.microphone.play(noise(2400), ignore)
        moment = sent.microphone.audio_clock.moment
        assert moment(0) == pytest.approx(5.0)
        assert moment(50) == pytest.approx(5.05)
        assert moment(100) == pytest.approx(5.1)
        assert moment(101) is None

    run_on_fake_clock(scene())


def test_unpaced_it_takes_no_time_and_every_position_is_when_it_was_sent() -> None:
    async def scene() -> None:
        sent = Sent(paced=False)
        await sent.microphone.play(noise(24_000 + 7), ignore)
        await sent.microphone.play_silence(500)
        assert set(sent.moments) == {0.0}
        assert sent.microphone.audio_clock.moment(700) == 0.0
        assert sent.microphone.audio_clock.position_samples == 24_024 + 12_000

    run_on_fake_clock(scene())


@pytest.mark.parametrize("encoding", ["audio/pcmu", "audio/pcma"])
def test_g711_is_a_third_of_the_samples(encoding: Encoding) -> None:
    async def scene() -> None:
        sent = Sent(encoding)
        await sent.microphone.play(noise(24_000), ignore)
        assert len(sent.audio) == pytest.approx(8_000, abs=8)  # the filter looks 1 ms ahead
        assert sent.microphone.audio_clock.position_samples == 24_000

    run_on_fake_clock(scene())


def test_progress_is_told_in_seconds() -> None:
    async def scene() -> None:
        told: list[tuple[float, float]] = []
        await Sent().microphone.play(noise(720), lambda spoken, total: told.append((spoken, total)))
        assert told == [(0.02, 0.03), (0.03, 0.03)]

    run_on_fake_clock(scene())
