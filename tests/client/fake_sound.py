"""A sound card without sound: what `sounddevice` is to a program, driven by a thread four times faster than life."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from vivavoce.audio import Samples

SPEED = 4
BLOCK_MS = 20


class PortAudioError(Exception):
    """As `sounddevice` raises it."""


class FakeSound:
    """Stands in for the `sounddevice` module. The microphone hears what `blocks` yields; then `on_end` is called."""

    PortAudioError = PortAudioError

    def __init__(self, input_hz: int = 24_000, output_hz: int = 24_000, kinds: Iterable[str] = ("input", "output")) -> None:
        self.rates_hz = {"input": input_hz, "output": output_hz}
        self.kinds = set(kinds)
        self.played = bytearray()
        """All that the loudspeaker played."""
        self.blocks: Iterator[Samples] = iter(())
        self.on_end: Callable[[], None] = lambda: None
        self.streams: list[Stream] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    # --- what sounddevice offers ---

    def query_devices(self, kind: str) -> dict[str, Any]:
        if kind not in self.kinds:
            raise PortAudioError(f"Error querying device -1, {kind}")
        return {"name": "fake", "default_samplerate": float(self.rates_hz[kind])}

    def check_input_settings(self, samplerate: int, channels: int, dtype: str) -> None:
        self._check("input", samplerate)

    def check_output_settings(self, samplerate: int, channels: int, dtype: str) -> None:
        self._check("output", samplerate)

    def RawInputStream(self, **settings: Any) -> Stream:
        return self._open("input", settings)

    def RawOutputStream(self, **settings: Any) -> Stream:
        return self._open("output", settings)

    # --- inside ---

    def _check(self, kind: str, samplerate: int) -> None:
        if samplerate != self.rates_hz[kind]:
            raise PortAudioError("Invalid sample rate")

    def _open(self, kind: str, settings: dict[str, Any]) -> Stream:
        self._check(kind, settings["samplerate"])
        stream = Stream(self, kind, settings)
        self.streams.append(stream)
        return stream

    def started(self) -> None:
        """Both streams run: so does time."""
        if sum(stream.runs for stream in self.streams) == 2:
            self._thread.start()

    def _run(self) -> None:
        output, input = self.streams if self.streams[0].kind == "output" else self.streams[::-1]
        for block in self.blocks:
            time.sleep(BLOCK_MS / 1000 / SPEED)
            if not (input.runs and output.runs):
                return
            input.callback(memoryview(block.tobytes()), block.size, None, None)
            heard = bytearray(output.blocksize * 2)
            output.callback(memoryview(heard), output.blocksize, None, None)
            self.played += heard
        self.on_end()

    # --- for tests ---

    @property
    def sound(self) -> Samples:
        """What was played, as samples."""
        return np.frombuffer(bytes(self.played), np.int16)

    def says(self, samples: Samples) -> Iterator[Samples]:
        """Blocks of a recording at the microphone's rate."""
        size = self.rates_hz["input"] * BLOCK_MS // 1000
        padded = np.concatenate([samples, np.zeros(-samples.size % size, np.int16)])
        yield from padded.reshape(-1, size)

    def is_silent_until(self, holds: Callable[[], bool], seconds: float = 20.0) -> Iterator[Samples]:
        """Silence at the microphone until something holds, or fails to in so much real time."""
        until = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > until:
                return
            yield np.zeros(self.rates_hz["input"] * BLOCK_MS // 1000, np.int16)


class Stream:
    """An open stream."""

    def __init__(self, sound: FakeSound, kind: str, settings: dict[str, Any]) -> None:
        assert (settings["channels"], settings["dtype"]) == (1, "int16")
        self.kind = kind
        self.callback = settings["callback"]
        self.blocksize: int = settings["blocksize"]
        self.runs = False
        self.closed = False
        self._sound = sound

    def start(self) -> None:
        self.runs = True
        self._sound.started()

    def stop(self) -> None:
        self.runs = False

    def close(self) -> None:
        self.closed = True
