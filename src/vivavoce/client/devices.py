"""Microphone and loudspeaker through the `sounddevice` package, which speaks to PortAudio.

PortAudio calls back from a thread of its own. Samples at 24,000 Hz cross to it and from it; a device that knows other rates
only gets a resampler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from vivavoce.audio import PCM_SAMPLE_BYTES, SAMPLE_HZ, Resampler, Samples
from vivavoce.client.errors import UsageError
from vivavoce.client.playout import Cut, Playout

FRAME_MS: Final = 20


def load_sounddevice() -> Any:
    """The `sounddevice` module. Raises `UsageError` that says what to install."""
    try:
        import sounddevice
    except ImportError:
        raise UsageError("the microphone needs the sounddevice package: pip install 'vivavoce[talk]'") from None
    except OSError:
        message = (
            "the microphone needs PortAudio: apt install libportaudio2, dnf install portaudio, or brew install portaudio"
        )
        raise UsageError(message) from None
    return sounddevice


class Devices:
    """An open microphone and an open loudspeaker. `sounddevice` is the module, or what behaves like it.

    `on_frame` gets what the microphone hears, 20 ms at a time, in PortAudio's thread; the loudspeaker plays `playout`.
    Raises `UsageError` where a device is missing.
    """

    def __init__(self, sounddevice: Any, on_frame: Callable[[Samples], None], playout: Playout) -> None:
        self._on_frame: Final = on_frame
        input_hz = _rate_hz(sounddevice, "input")
        output_hz = _rate_hz(sounddevice, "output")
        self._heard: Final = Resampler(input_hz, SAMPLE_HZ)
        self._speaker: Final = Speaker(playout, output_hz)
        shared = {"channels": 1, "dtype": "int16"}
        try:
            self._input = sounddevice.RawInputStream(
                samplerate=input_hz, blocksize=input_hz * FRAME_MS // 1000, callback=self._on_input, **shared
            )
            self._output = sounddevice.RawOutputStream(
                samplerate=output_hz, blocksize=output_hz * FRAME_MS // 1000, callback=self._on_output, **shared
            )
        except sounddevice.PortAudioError as error:
            raise UsageError(f"the audio device cannot be opened: {error}") from None

    def __enter__(self) -> Devices:
        self._output.start()
        self._input.start()
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self._input, self._output):
            stream.stop()
            stream.close()

    def _on_input(self, data: Any, frames: int, time: Any, status: Any) -> None:
        samples = self._heard.feed(np.frombuffer(bytes(data), np.int16))
        if samples.size:
            self._on_frame(samples)

    def _on_output(self, data: Any, frames: int, time: Any, status: Any) -> None:
        data[:] = self._speaker.fill(frames)


def _rate_hz(sounddevice: Any, kind: str) -> int:
    """24,000 if the default device knows it, else what the device likes best."""
    check = sounddevice.check_input_settings if kind == "input" else sounddevice.check_output_settings
    try:
        device = sounddevice.query_devices(kind=kind)
    except (sounddevice.PortAudioError, ValueError):
        name = "microphone" if kind == "input" else "loudspeaker"
        raise UsageError(f"there is no {name} on this machine.") from None
    try:
        check(samplerate=SAMPLE_HZ, channels=1, dtype="int16")
    except sounddevice.PortAudioError:
        return int(device["default_samplerate"])
    return SAMPLE_HZ


class Speaker:
    """Turns a playout into the loudspeaker's samples, with silence where it runs dry."""

    def __init__(self, playout: Playout, rate_hz: int) -> None:
        self._playout: Final = playout
        self._resampler: Final = Resampler(SAMPLE_HZ, rate_hz)
        self._per_frame: Final = SAMPLE_HZ / rate_hz
        self._ready = np.empty(0, np.int16)

    def fill(self, samples: int) -> bytes:
        """The next so many samples at the loudspeaker's rate, as bytes."""
        while self._ready.size < samples:
            wanted = max(1, round((samples - self._ready.size) * self._per_frame))
            pcm = self._playout.pull(wanted * PCM_SAMPLE_BYTES)
            heard = np.zeros(wanted, np.int16)
            heard[: len(pcm) // PCM_SAMPLE_BYTES] = np.frombuffer(pcm, "<i2")
            self._ready = np.concatenate([self._ready, self._resampler.feed(heard)])
        now, self._ready = self._ready[:samples], self._ready[samples:]
        return now.tobytes()


class DeviceLoudspeaker:
    """A playout as a `Dialogue` knows it: the device keeps the time."""

    def __init__(self, playout: Playout) -> None:
        self._playout: Final = playout

    def push(self, item_id: str, content_index: int, audio: bytes, now: float) -> None:
        """More of an item."""
        self._playout.push(item_id, content_index, audio)

    def flush(self, now: float) -> list[Cut]:
        """Fall silent."""
        return self._playout.flush()
