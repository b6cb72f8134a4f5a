"""What the rooms of a session share: its configuration, its conversation, its ids and its single outlet."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from vivavoce.engine_api import EngineCommand
from vivavoce.protocol.config import AudioInput, Config, SessionConfig, TurnDetection
from vivavoce.protocol.errors import RequestError
from vivavoce.protocol.server_events import ConversationItemAdded, ConversationItemDone, ServerEvent
from vivavoce.session.boundary import Admit, Close, Output, Setup, Spend
from vivavoce.session.conversation import Conversation, Entry
from vivavoce.session.ids import Ids


class State:
    """Shared by `Session`, `Listening` and `Answering`, which are steps of one funnel and never run at once."""

    def __init__(self, setup: Setup, config: Config) -> None:
        self.setup = setup
        self.config: Config = config
        self.conversation = Conversation()
        self.ids = Ids(setup.seed)
        self.conversation_id = f"conv_{setup.seed}"
        self.now = setup.opened_at
        self.has_spoken = False
        """The assistant's voice was heard in the default conversation: the voice is settled."""
        self._outputs: list[Output] = []

    @property
    def audio_input(self) -> AudioInput:
        """How the session listens, of whichever kind it is."""
        return self.config.audio.input

    @property
    def turn_detection(self) -> TurnDetection | None:
        """The detector's settings; `None` is push-to-talk."""
        return self.config.audio.input.turn_detection

    @property
    def confirms_barge_in(self) -> bool:
        """Speech that may interrupt has to prove itself first."""
        vad = self.turn_detection
        return vad is not None and vad.interrupt_response and self.setup.confirm_barge_in_ms is not None

    @property
    def answers(self) -> SessionConfig | None:
        """The configuration, if this session answers at all: a transcription session does not."""
        return self.config if isinstance(self.config, SessionConfig) else None

    def send(self, event: ServerEvent) -> None:
        """To the client. Here and nowhere else an event gets its id."""
        msgspec.structs.force_setattr(event, "event_id", self.ids.new("event"))
        self._outputs.append(event)

    def command(self, command: EngineCommand | Admit | Spend | Close) -> None:
        """To the engine, or to the runner."""
        self._outputs.append(command)

    def drain(self) -> list[Output]:
        """All outputs since the last drain, in order."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def new_item_id(self) -> str:
        """An id that no item has, the client's own included."""
        while (item_id := self.ids.new("item")) in self.conversation:
            pass
        return item_id

    def check_room(self) -> None:
        """Raise `RequestError` if the conversation can hold no further item."""
        if len(self.conversation) >= self.setup.max_items:
            message = f"The conversation is full: it has {self.setup.max_items} items. Delete some first."
            raise RequestError("conversation_full", message)

    def add_whole(self, entry: Entry, after: str | UnsetType | None = UNSET) -> None:
        """Put a finished item into the conversation and say so. Raises `RequestError`."""
        self.check_room()
        previous_id = self.conversation.insert(entry, after)
        self.send(ConversationItemAdded(previous_item_id=previous_id, item=entry.item))
        self.send(ConversationItemDone(previous_item_id=previous_id, item=entry.item))
