"""The engines of one process: which are served, under which model names, and when they are ready."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from vivavoce.engine_api import Engine
from vivavoce.engines.parts import Synthesizer
from vivavoce.protocol.errors import SettingsError, VivavoceError
from vivavoce.registry import ENGINES, TURN_ENDS, VOICE_ACTIVITY, Ensemble, Shared, find
from vivavoce.settings import Settings

_logger = logging.getLogger("vivavoce.engines")

ALWAYS_SERVED: Final = ("echo", "scripted")
"""Engines that cost nothing and that every client developer can use."""


class Engines:
    """Makes and starts what the settings name. Voice activity and turn ends are shared by all engines.

    Making raises `SettingsError` where a name or an option is wrong: before anything heavy is loaded.
    """

    def __init__(self, settings: Settings) -> None:
        self._default: Final = settings.engine
        self._models: Final = settings.models
        self._options: Final = settings.engines
        self._voice_activity: Final = self._shared(VOICE_ACTIVITY, settings.voice_activity)
        self._turn_end: Final = self._shared(TURN_ENDS, settings.turn_end)
        self._mains: Final[dict[str, Engine]] = {}
        self._starting: asyncio.Task[None] | None = None
        self._engines: Final = {
            name: self._made(name) for name in dict.fromkeys([settings.engine, *settings.models.values()])
        }
        for name in ALWAYS_SERVED:
            if name not in self._engines:
                self._try(name)

    @property
    def names(self) -> list[str]:
        """The engines, the default first."""
        return list(self._engines)

    @property
    def models(self) -> list[str]:
        """Model names that mean something here: the configured ones, and each engine's own."""
        return list(dict.fromkeys([*self._models, *self._engines]))

    def named(self, model: str) -> tuple[str, Engine]:
        """The engine that answers for a model's name, whatever that is: names that mean nothing here get the default."""
        name = self._models.get(model, model)
        if name not in self._engines:
            name = self._default
        return name, self._engines[name]

    def transcriber(self, model: str) -> Engine | None:
        """The engine that transcribes for a model's name: the one that answers for it, else any that can."""
        candidates = [self.named(model)[1], *self._engines.values()]
        return next((engine for engine in candidates if engine.capabilities.transcribes), None)

    def synthesizer(self, model: str) -> Synthesizer | None:
        """The voice for a model's name: of the engine that answers for it, else of any that has one by itself."""
        candidates = [self._mains[self.named(model)[0]], *self._mains.values()]
        return next((found for main in candidates if (found := getattr(main, "synthesizer", None))), None)

    async def start(self) -> None:
        """Load and warm up all engines; a second call waits for the first. Raises `EngineError` or `SettingsError`."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        await self._starting

    async def _start(self) -> None:
        outcomes = await asyncio.gather(*(engine.start() for engine in self._engines.values()), return_exceptions=True)
        errors = [outcome for outcome in outcomes if outcome is not None]
        if errors:
            started = [engine for engine, error in zip(self._engines.values(), outcomes, strict=True) if error is None]
            await _close(started)
            raise next((error for error in errors if isinstance(error, VivavoceError)), errors[0])

    async def close(self) -> None:
        """Stop them."""
        await _close(list(self._engines.values()))

    def _made(self, name: str) -> Ensemble:
        main = self._mains[name] = find(ENGINES, name)(self._options.get(name, {}))
        return Ensemble(main, self._voice_activity, self._turn_end)

    def _shared(self, group: str, name: str | None) -> Any:
        return Shared(find(group, name)(self._options.get(name, {}))) if name else None

    def _try(self, name: str) -> None:
        try:
            self._engines[name] = self._made(name)
        except SettingsError as error:
            _logger.warning("%s is not served: %s", name, error)


async def _close(engines: list[Ensemble]) -> None:
    for outcome in await asyncio.gather(*(engine.close() for engine in engines), return_exceptions=True):
        if outcome is not None:
            _logger.error("an engine did not close", exc_info=outcome)
