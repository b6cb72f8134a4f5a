"""Log lines: for people, or as JSON. A thread writes them, so a full pipe holds up nobody. Never audio, never keys."""

from __future__ import annotations

import atexit
import logging
import sys
import time
from logging.handlers import QueueHandler, QueueListener
from queue import SimpleQueue
from typing import Any, Final, Literal

import msgspec

_FIELDS: Final = "fields"
"""The attribute of a record that holds what `line` was given."""


def line(logger: logging.Logger, message: str, **fields: Any) -> None:
    """Log a fact with its figures: `message` for people, `fields` for programs."""
    logger.info(message, extra={_FIELDS: fields})


class HumanFormatter(logging.Formatter):
    """`14:03:22 INFO  sess_1234 closed after 12.3 s: …`"""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a traceback if there is one."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        text = f"{clock} {record.levelname:<7} {record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (Unix seconds), level, logger, message, the fields, and a traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        content: dict[str, Any] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            content["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(content).decode()


class _Queued(QueueHandler):
    """Hands records to the writer as they are. The original formats tracebacks on the caller's time."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record


def configure(style: Literal["human", "json"], level: str) -> None:
    """Send all log lines to standard error, through a thread. Call once, when the program starts."""
    writer = logging.StreamHandler(sys.stderr)
    writer.setFormatter(JsonFormatter() if style == "json" else HumanFormatter())
    queue: SimpleQueue[logging.LogRecord] = SimpleQueue()
    listener = QueueListener(queue, writer)
    listener.start()
    atexit.register(listener.stop)
    root = logging.getLogger()
    root.handlers = [_Queued(queue)]
    root.setLevel(level.upper())
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    for client in ("httpx2", "httpcore2"):
        logging.getLogger(client).setLevel(logging.WARNING)  # A line for each request of a part to its server.
