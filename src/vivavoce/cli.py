"""The command line: arguments in, exit code out. What a command does stands elsewhere, and is imported when it runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vivavoce import __version__
from vivavoce.client.commands import add_replay, add_say, add_talk
from vivavoce.client.load.command import add_bench
from vivavoce.protocol.errors import SettingsError, VivavoceError

if TYPE_CHECKING:
    from vivavoce.settings import Settings

_Subparsers = Any
"""argparse keeps this type to itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. 0 is success, 1 a failure, 2 something that the operator can mend."""
    parser = _parser()
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except VivavoceError as error:
        sys.stderr.write(f"vivavoce: {error}\n")
        return 2 if isinstance(error, SettingsError) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # Who read our output (`| head`) has read enough: nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vivavoce",
        description="A self-hosted Realtime API: spoken conversations with models of your own.",
        epilog="`vivavoce COMMAND --help` explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"vivavoce {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in _COMMANDS:
        add(commands)
    return parser


def _command(commands: _Subparsers, name: str, run: Callable[[argparse.Namespace], int], about: str, examples: str) -> Any:
    parser = commands.add_parser(
        name,
        help=about,
        description=about,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


# --- settings ---


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """The flags of every command that starts or describes a server. Each is a setting of the same name."""
    parser.add_argument("--config", metavar="FILE", help="settings file, TOML (or VIVAVOCE_CONFIG)")
    parser.add_argument("--profile", help="settings to begin with: offline, laptop, gpu, native, or a TOML file")
    parser.add_argument("--host", help="where to listen (127.0.0.1)")
    parser.add_argument("--port", help="which port (8000)")
    parser.add_argument("--engine", help="the engine that answers (cascade)")
    parser.add_argument("--offline", action="store_const", const=True, help="fetch no weights of models")
    parser.add_argument("--workers", help="processes on the port (1)")
    parser.add_argument("--certfile", metavar="FILE", help="PEM certificate: speak https and wss")
    parser.add_argument("--keyfile", metavar="FILE", help="the certificate's key")
    parser.add_argument("--trace", metavar="DIR", help="write a trace of every session into this folder, audio included")
    parser.add_argument("--log-json", dest="log", action="store_const", const="json", help="log lines as JSON")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any other setting")


_FLAGS: Final = ("profile", "host", "port", "engine", "offline", "workers", "certfile", "keyfile", "trace", "log")


def read_settings(options: argparse.Namespace) -> Settings:
    """The settings that these flags, the environment and the file make. Raises `SettingsError`."""
    from vivavoce.settings import load

    flags = {name: value for name in _FLAGS if (value := getattr(options, name)) is not None}
    for text in options.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise SettingsError(f"--set {text}: write it as NAME=VALUE, such as --set limits.max_sessions=5.")
        flags[name.strip()] = value
    file = options.config or os.environ.get("VIVAVOCE_CONFIG")
    return load(Path(file) if file else None, os.environ, flags)


# --- commands ---


def _add_serve(commands: _Subparsers) -> None:
    examples = """\
  vivavoce serve                                       on 127.0.0.1:8000, for this machine only
  vivavoce serve --profile laptop                      good ears and a good voice, on a processor
  vivavoce serve --port 8010 --engine echo
  VIVAVOCE_API_KEYS=a-long-random-key vivavoce serve --host 0.0.0.0 --certfile cert.pem --keyfile key.pem
  vivavoce serve --config vivavoce.toml --set limits.max_sessions=20"""
    parser = _command(commands, "serve", _serve, "Serve the Realtime API.", examples)
    _add_settings(parser)


def _serve(options: argparse.Namespace) -> int:
    settings = read_settings(options)
    from vivavoce.server.command import run

    return run(settings)


def _add_engines(commands: _Subparsers) -> None:
    examples = """\
  vivavoce engines                                     what there is, and what is missing
  vivavoce engines faster_whisper                      all about one: its models, their sizes, where they are
  vivavoce engines --profile laptop                    what this profile uses"""
    parser = _command(commands, "engines", _engines, "List engines, parts and profiles, and what they need.", examples)
    parser.add_argument("name", nargs="?", metavar="NAME", help="an engine or part")
    parser.add_argument("--json", action="store_true", help="for programs")
    _add_settings(parser)


def _engines(options: argparse.Namespace) -> int:
    from vivavoce.server.listing import list_engines

    return list_engines(read_settings(options), options.name, as_json=options.json)


def _add_fetch(commands: _Subparsers) -> None:
    examples = """\
  vivavoce fetch --profile laptop                      all that this profile needs
  vivavoce fetch kokoro                                the weights of a part
  vivavoce fetch large-v3-turbo                        a model, by its name in `vivavoce engines`
  vivavoce fetch Systran/faster-whisper-base           a repository of the hub"""
    parser = _command(commands, "fetch", _fetch, "Fetch models' weights now, or bring them up to date.", examples)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a part, a model, or owner/name")
    _add_settings(parser)


def _fetch(options: argparse.Namespace) -> int:
    from vivavoce.server.listing import fetch_weights

    return fetch_weights(read_settings(options), options.names)


def _add_config(commands: _Subparsers) -> None:
    examples = """\
  vivavoce config                                      what is in effect, as a settings file
  vivavoce config --config vivavoce.toml --set limits.items=500"""
    parser = _command(commands, "config", _config, "Show the effective settings, keys masked.", examples)
    _add_settings(parser)


def _config(options: argparse.Namespace) -> int:
    from vivavoce.settings import as_toml

    sys.stdout.write(as_toml(read_settings(options)))
    return 0


_COMMANDS: Final[tuple[Callable[[_Subparsers], None], ...]] = (
    _add_serve,
    lambda commands: add_say(commands, _command),
    lambda commands: add_talk(commands, _command),
    lambda commands: add_replay(commands, _command),
    lambda commands: add_bench(commands, _command),
    _add_engines,
    _add_fetch,
    _add_config,
)


if __name__ == "__main__":
    sys.exit(main())
