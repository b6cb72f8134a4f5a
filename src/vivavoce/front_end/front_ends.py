"""The front ends of one process: what the settings allow, what is installed, and the threads that clean."""

from __future__ import annotations

import asyncio
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any, Final

from vivavoce.audio import encoding_hz
from vivavoce.engine_api import Engine
from vivavoce.front_end.cleaned import CleanedRunner
from vivavoce.front_end.microphone import Canceller, MakeCanceller, Microphone, Wish
from vivavoce.protocol.config import AudioInput
from vivavoce.protocol.errors import EngineError, SettingsError
from vivavoce.runner import Runner
from vivavoce.session.boundary import Setup
from vivavoce.settings import Settings

_logger = logging.getLogger("vivavoce.front_end")

REMEDY: Final = "pip install 'vivavoce[audio-processing]'"
MOST_THREADS: Final = 4


class FrontEnds:
    """Makes runners. Raises `SettingsError` if the settings want what is not installed."""

    def __init__(self, settings: Settings, make_canceller: MakeCanceller | None = None) -> None:
        self._noise: Final = settings.noise_reduction == "auto"
        self._echo: Final = settings.echo_cancellation == "cancel"
        self._make: Final = make_canceller or (webrtc if installed() else None)
        self._warned = False
        if self._echo and self._make is None:
            raise SettingsError(f'echo_cancellation = "cancel" needs the package livekit. Run: {REMEDY}')
        threads = min(MOST_THREADS, os.cpu_count() or 1)
        self._threads: Final = ThreadPoolExecutor(threads, "front-end")  # Starts none before there is work.

    async def start(self) -> None:
        """Load the library if every session will need it. Raises `EngineError`."""
        if not self._echo or self._make is None:
            return
        try:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._threads, self._make, Wish("audio/pcm", None, True))
        except Exception as error:
            message = f"echo_cancellation: the package livekit does not work: {error}"
            raise EngineError("engine_start_failed", message) from error

    def runner(self, setup: Setup, engine: Engine, **others: Any) -> Runner:
        """A runner for a session, which takes what `Runner` takes."""
        if not self._noise and not self._echo:
            return Runner(setup, engine, **others)
        return CleanedRunner(setup, engine, wishes=self._wish, listen=self._listen, threads=self._threads, **others)

    def close(self) -> None:
        """Let the threads finish what they are at, and end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _wish(self, audio: AudioInput) -> Wish | None:
        noise = audio.noise_reduction.type if self._noise and audio.noise_reduction is not None else None
        if noise is not None and self._make is None:
            self._warn()
            noise = None
        return Wish(audio.format.type, noise, self._echo) if noise is not None or self._echo else None

    def _listen(self, wish: Wish) -> Microphone:
        assert self._make is not None
        return Microphone(wish, self._make)

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            _logger.warning("A client asks for noise_reduction, which nothing here can do. Run: %s", REMEDY)


def installed() -> bool:
    """Whether the native library is there. Imports nothing of it."""
    try:
        return find_spec("livekit.rtc") is not None
    except ModuleNotFoundError:
        return False


def webrtc(wish: Wish) -> Canceller:
    """WebRTC's audio processing for a microphone. Slow the first time: for a thread."""
    from vivavoce.front_end.webrtc import AudioProcessing

    noise = wish.noise is not None
    return AudioProcessing(encoding_hz(wish.encoding), echo=wish.echo, noise=noise, gain=wish.noise == "far_field")
