"""The flags of `say`, `talk` and `replay`. What they do is imported when they run: `vivavoce --help` stays quick."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

Add = Callable[..., argparse.ArgumentParser]
"""Makes a command's parser: `add(commands, name, run, about, examples)`."""

# --- say ---

_SAY: Final = "Speak recordings to a Realtime server, one turn each; hear the answer, and see how long it took."
_SAY_EXAMPLES: Final = """\
  vivavoce say question.wav                            the answer is spoken into answer.wav
  vivavoce say hello.wav weather.flac --voice coral
  vivavoce say --text "What time is it?"
  vivavoce say weather.wav --tools tools.json          [{"name": "get_weather", "result": {"sky": "clear"}, ...}]
  vivavoce say story.wav stop.wav --interrupt-after 1.5
  sox -d -t wav - trim 0 4 | vivavoce say -

exit code: 0 answered; 1 the server refused, failed or did not answer; 2 the command was wrong"""


def add_say(commands: Any, add: Add) -> None:
    """Add `vivavoce say`."""
    parser = add(commands, "say", _say, _SAY, _SAY_EXAMPLES)
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="a recording: WAV; FLAC and others with soundfile installed; - is stdin"
    )
    parser.add_argument("--text", action="append", default=[], metavar="TEXT", help="type a message; may be repeated")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("answer.wav"),
        metavar="FILE",
        help="where the spoken answer goes (%(default)s); with several turns answer-1.wav, answer-2.wav and so on",
    )
    _add_connection(parser)
    _add_session(parser)
    parser.add_argument("--g711", choices=("alaw", "ulaw"), help="speak G.711 at 8 kHz, as telephones do, both ways")
    parser.add_argument(
        "--fast", action="store_true", help="send as fast as the server takes it, not at the speed of speech"
    )
    parser.add_argument(
        "--interrupt-after",
        type=float,
        metavar="SECONDS",
        help="speak the next file over the answer, so many seconds after it began to play",
    )
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="how long to wait (%(default).0f)")
    parser.add_argument("--json", action="store_true", help="print every event as a JSON line, and a report of each turn")


def _say(args: argparse.Namespace) -> int:
    from vivavoce.client.say import run

    return run(args)


# --- talk ---

_TALK: Final = "Talk to a Realtime server by microphone and loudspeaker."
_TALK_EXAMPLES: Final = """\
  vivavoce talk
  vivavoce talk --voice coral --instructions "You are a patient teacher of Latin."
  vivavoce talk --push-to-talk                         Enter begins to listen, Enter again sends

The answer stops when you speak over it. Typed lines are sent as messages. Ctrl-C ends it. Without headphones a microphone
hears the loudspeaker: --half-duplex keeps it shut while the answer plays. Needs: pip install 'vivavoce[talk]'"""


def add_talk(commands: Any, add: Add) -> None:
    """Add `vivavoce talk`."""
    parser = add(commands, "talk", _talk, _TALK, _TALK_EXAMPLES)
    _add_connection(parser)
    _add_session(parser)
    parser.add_argument("--half-duplex", action="store_true", help="do not listen while the answer plays")


def _talk(args: argparse.Namespace) -> int:
    from vivavoce.client.talk import run

    return run(args)


# --- replay ---

_REPLAY: Final = "Run a session's trace again, without server, clock or engine, and show the first difference."
_REPLAY_EXAMPLES: Final = """\
  vivavoce replay traces/sess_4f1c.jsonl               does this version answer as the recorded one did?
  vivavoce replay traces/sess_4f1c.jsonl --events      what happened, line by line

A trace is what `vivavoce serve --trace DIR` wrote. It holds all that was said: treat it as you treat recordings.
A log that the console exported is told line by line: it cannot be run again.
exit code: 0 identical; 1 it answers differently, or breaks; 2 the file is no trace"""


def add_replay(commands: Any, add: Add) -> None:
    """Add `vivavoce replay`."""
    parser = add(commands, "replay", _replay, _REPLAY, _REPLAY_EXAMPLES)
    parser.add_argument("file", type=Path, metavar="FILE", help="a trace")
    parser.add_argument("--events", action="store_true", help="print what happened instead")


def _replay(args: argparse.Namespace) -> int:
    from vivavoce.client.replay import run

    return run(args)


# --- the flags that say and talk share ---


def _add_connection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url",
        metavar="URL",
        help="the server (or VIVAVOCE_URL); without it http://127.0.0.1:8000 if one answers there, else one is "
        "started for the occasion",
    )
    parser.add_argument("--model", metavar="NAME", default="gpt-realtime", help="the model to ask for (%(default)s)")
    parser.add_argument("--api-key", metavar="KEY", help="the key; else VIVAVOCE_API_KEY or OPENAI_API_KEY is taken")
    parser.add_argument("--beta", action="store_true", help="speak the dialect of 2024 (header OpenAI-Beta: realtime=v1)")


def _add_session(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--voice", metavar="NAME", help="the voice that answers")
    parser.add_argument("--instructions", metavar="TEXT", help="what the assistant is told to be")
    parser.add_argument(
        "--tools",
        metavar="FILE.json",
        help='a JSON list of function tools; one with a "result" is answered with it, and the answer goes on',
    )
    parser.add_argument("--push-to-talk", action="store_true", help="no turn detection: the end of the speech is said")
