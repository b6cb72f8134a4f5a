"""`chat_audio` in front of a server that hears and speaks: one engine, and one session of it."""

import asyncio
from typing import Any

from tests.engines.audio_upstream import speaking
from tests.engines.probe import Answer, Probe, with_speech
from tests.engines.upstream_server import UpstreamServer, upstream
from vivavoce.engine_api import Generate
from vivavoce.engines.chat_audio import ChatAudio
from vivavoce.engines.sine_voice import say
from vivavoce.protocol.objects import Item

PCM_HELLO = b"".join(word.pcm for word in say("hello there"))
HELLO = (with_speech(PCM_HELLO),)


class Scene:
    """An engine in front of a server, and one session of it."""

    def __init__(self, server: UpstreamServer, engine: ChatAudio) -> None:
        self.server = server
        self.engine = engine
        self.probe = Probe(engine)
        self._count = 0

    async def ask(self, *items: Item, **fields: Any) -> Answer:
        self._count += 1
        return await self.probe.answer(Generate(response_id=f"resp_{self._count}", items=items, **fields))

    @property
    def body(self) -> dict[str, Any]:
        return self.server.last.json


def scene(play: Any, answer: Any = None, **options: Any) -> Any:
    """Play it in front of a server that answers like this; what the play returns."""

    async def main() -> Any:
        dialect = options.get("server", "openai")
        async with upstream(answer or speaking(dialect)) as server:
            engine = ChatAudio({"base_url": server.url, **options})
            await engine.start()
            scene = Scene(server, engine)
            try:
                return await play(scene)
            finally:
                scene.probe.session.close()
                await engine.close()

    return asyncio.run(main())
