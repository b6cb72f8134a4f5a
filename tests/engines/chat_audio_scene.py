"""`chat_audio` in front of a server that hears and speaks: one engine, and one session of it."""

import asyncio
from contextlib import closing
from typing import Any

from tests.engines.audio_upstream import speaking
from tests.engines.probe import Probe, in_use, with_speech
from tests.engines.upstream_server import UpstreamServer, upstream
from vivavoce.engines.chat_audio import ChatAudio
from vivavoce.engines.sine_voice import say

PCM_HELLO = b"".join(word.pcm for word in say("hello there"))
HELLO = (with_speech(PCM_HELLO),)


class Scene:
    """An engine in front of a server, and one session of it."""

    def __init__(self, server: UpstreamServer, engine: ChatAudio) -> None:
        self.server = server
        self.engine = engine
        self.probe = Probe(engine)
        self.ask = self.probe.ask

    @property
    def body(self) -> dict[str, Any]:
        return self.server.last.json


def scene(play: Any, answer: Any = None, **options: Any) -> Any:
    """Play it in front of a server that answers like this; what the play returns."""

    async def main() -> Any:
        dialect = options.get("server", "openai")
        async with (
            upstream(answer or speaking(dialect)) as server,
            in_use(ChatAudio({"base_url": server.url, **options})) as engine,
        ):
            scene = Scene(server, engine)
            with closing(scene.probe.session):
                return await play(scene)

    return asyncio.run(main())
