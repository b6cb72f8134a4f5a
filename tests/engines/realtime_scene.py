"""`realtime` in front of a server that the test plays: one engine, and one session of it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

from tests.engines.probe import Answer, Probe, in_use, user_text
from tests.engines.realtime_upstream_server import FakeServer, answers, fake_server
from vivavoce.engines.realtime import Realtime
from vivavoce.protocol.objects import Item

KEY = "sk-never-to-be-seen"
HELLO = user_text("hello")
SPEECH = b"\1\2" * 12_000


class Scene:
    """An engine in front of a server, and one session of it."""

    def __init__(self, server: FakeServer, probe: Probe) -> None:
        self.server = server
        self.probe = probe

    async def ask(self, *items: Item, **fields: Any) -> Answer:
        return await self.probe.ask(*(items or (HELLO,)), **fields)

    @property
    def said(self) -> list[str]:
        """The types of what the server was told, without `event_id`s."""
        return [event["type"] for event in self.server.seen]

    def last(self, kind: str) -> dict[str, Any]:
        return [event for event in self.server.seen if event["type"] == kind][-1]


def scene(play: Callable[[Scene], Awaitable[Any]], behave: Any = answers, **options: Any) -> Any:
    """Play it in front of a server that behaves like this; what the play returns."""

    async def main() -> Any:
        async with (
            fake_server(behave) as server,
            in_use(Realtime({"base_url": server.url, "api_key": KEY, **options})) as engine,
        ):
            probe = Probe(engine)
            with closing(probe.session):
                return await play(Scene(server, probe))

    return asyncio.run(main())
