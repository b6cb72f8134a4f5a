"""Names, what stands behind them, and what an operator reads when nothing does."""

import asyncio
import sys
from pathlib import Path

import pytest
from msgspec import Struct

from vivavoce import registry
from vivavoce.engine_api import Capabilities, DetectSpeech, Emit, EngineCommand, EngineSession, Generate, ScoreTurn
from vivavoce.protocol.errors import EngineError, SettingsError
from vivavoce.protocol.objects import PCM

# --- names ---


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three installed packages: one that works, one that lacks its extra, one that is broken."""
    distribution(tmp_path, "fine", "[vivavoce.engines]\nfine = fine:Fine\nscripted = fine:Fine\n")
    (tmp_path / "fine.py").write_text(
        "class Fine:\n    def __init__(self, options): self.options = options\n\nclass Holder:\n    Inner = Fine\n"
    )
    required = ("numpy", "Deep_Thought>=4; extra == 'big-gpu'", "numpy; extra == 'big-gpu'")
    needs = "".join(f"Requires-Dist: {line}\n" for line in required)
    distribution(
        tmp_path, "lacking", "[vivavoce.engines]\nlacking = lacking:Lacking [big-gpu]\nquiet = lacking:Lacking\n", needs
    )
    (tmp_path / "lacking.py").write_text("import deep_thought.core\n")
    distribution(
        tmp_path, "broken", "[vivavoce.engines]\ngone = nowhere.at_all:X\nnothing = fine:Missing\nnumber = fine:__name__\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for module in ("fine", "lacking"):
        sys.modules.pop(module, None)


def distribution(folder: Path, name: str, entry_points: str, metadata: str = "") -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{metadata}")
    (info / "entry_points.txt").write_text(entry_points)


def test_our_own_engines_are_found_by_the_same_door() -> None:
    assert {"cascade", "echo", "scripted"} <= {entry.name for entry in registry.entries(registry.ENGINES)}
    assert [entry.name for entry in registry.entries(registry.VOICE_ACTIVITY)] == ["silero"]
    assert registry.find(registry.ENGINES, "scripted")({}).capabilities.transcribes


def test_to_list_the_names_imports_nothing(packages: Path) -> None:
    names = {entry.name: entry for entry in registry.entries(registry.ENGINES)}
    assert names["fine"] == registry.Entry(registry.ENGINES, "fine", "fine")
    assert "fine" not in sys.modules


def test_the_list_tells_what_is_missing_and_what_mends_it(packages: Path) -> None:
    lacking = next(entry for entry in registry.entries(registry.ENGINES) if entry.name == "lacking")
    assert lacking.missing == ("Deep_Thought",)
    assert lacking.remedy == "pip install 'lacking[big-gpu]'"


def test_an_installed_package_may_take_over_one_of_our_names(packages: Path) -> None:
    assert registry.find(registry.ENGINES, "scripted").__module__ == "fine"


@pytest.mark.parametrize("path", ["fine:Fine", "fine:Holder.Inner"])
def test_a_path_works_without_packaging(packages: Path, path: str) -> None:
    assert registry.find(registry.ENGINES, path)({"a": 1}).options == {"a": 1}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("x", "No engine named 'x'. There are: cascade, "),
        (
            "lacking",
            "The engine 'lacking': it needs the module 'deep_thought'. Run: pip install 'lacking[big-gpu]'",
        ),
        (
            "quiet",
            "The engine 'quiet': it needs the module 'deep_thought'. Run: pip install 'lacking[big-gpu]'",
        ),
        ("gone", "The engine 'gone': there is no module 'nowhere'. Is its folder on PYTHONPATH?"),
        ("nothing", "The engine 'nothing': the module fine has no 'Missing'."),
        ("number", "The engine 'number' is no class or function."),
        ("parrots:Parrot", "The engine parrots:Parrot: there is no module 'parrots'. Is its folder on PYTHONPATH?"),
    ],
)
def test_a_name_that_cannot_be_had_is_one_clear_line(packages: Path, name: str, line: str) -> None:
    with pytest.raises(SettingsError) as raised:
        registry.find(registry.ENGINES, name)
    assert str(raised.value).startswith(line)
    assert "\n" not in str(raised.value)


class Options(Struct):
    delay_ms: int = 0
    voice: str = ""


def test_options_become_a_struct() -> None:
    assert registry.read_options({"delay_ms": "20"}, Options, "parrot") == Options(delay_ms=20)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"delay": 3}, "engines.parrot: unknown option 'delay'. Known: delay_ms, voice."),
        ({"delay_ms": "soon"}, "engines.parrot.delay_ms: expected an integer, got a string."),
    ],
)
def test_options_that_are_wrong_are_named(options: dict[str, object], line: str) -> None:
    with pytest.raises(SettingsError) as raised:
        registry.read_options(options, Options, "parrot")
    assert str(raised.value) == line


# --- ensembles ---


class Part:
    """An engine that notes what happens to it."""

    def __init__(self, capabilities: Capabilities = Capabilities(), error: Exception | None = None) -> None:  # noqa: B008 - frozen
        self.capabilities = capabilities
        self.error = error
        self.notes: list[str] = []
        self.commands: list[EngineCommand] = []

    async def start(self) -> None:
        self.notes.append("start")
        await asyncio.sleep(0)
        if self.error:
            raise self.error

    def open(self, emit: Emit) -> EngineSession:
        self.notes.append("open")
        part = self

        class Session:
            def submit(self, command: EngineCommand) -> None:
                part.commands.append(command)

            def close(self) -> None:
                part.notes.append("close session")

        return Session()

    async def close(self) -> None:
        self.notes.append("close")


DETECT = DetectSpeech(0, b"", PCM)
SCORE = ScoreTurn("item_1", 0, b"", PCM)
GENERATE = Generate(response_id="resp_1")


def test_each_command_goes_to_the_part_that_is_there_for_it() -> None:
    main, voice_activity, turn_end = Part(), Part(), Part()
    session = registry.Ensemble(main, voice_activity, turn_end).open(lambda event: None)
    for command in (DETECT, SCORE, GENERATE):
        session.submit(command)
    session.close()
    assert (main.commands, voice_activity.commands, turn_end.commands) == ([GENERATE], [DETECT], [SCORE])
    assert [part.notes for part in (main, voice_activity, turn_end)] == [["open", "close session"]] * 3


def test_without_other_parts_the_main_engine_gets_everything() -> None:
    main = Part()
    session = registry.Ensemble(main).open(lambda event: None)
    for command in (DETECT, SCORE, GENERATE):
        session.submit(command)
    session.close()
    assert main.commands == [DETECT, SCORE, GENERATE]
    assert main.notes == ["open", "close session"]


def test_capabilities_are_those_of_the_main_engine_as_it_is_once_started() -> None:
    class Late(Part):
        async def start(self) -> None:
            self.capabilities = Capabilities(voices=("marin",))

    ensemble = registry.Ensemble(Late(), Part(), Part())
    assert ensemble.capabilities == Capabilities(scores_turns=True)
    asyncio.run(ensemble.start())
    assert ensemble.capabilities == Capabilities(scores_turns=True, voices=("marin",))
    assert not registry.Ensemble(Part(), Part()).capabilities.scores_turns


@pytest.mark.parametrize(
    ("error", "expected", "line"),
    [
        (
            EngineError("no_weights", "the file is gone."),
            EngineError,
            "The voice activity engine Part did not start: the file is gone.",
        ),
        (SettingsError("engines.x: no."), SettingsError, "The voice activity engine Part did not start: engines.x: no."),
        (EngineError("x", "The part 'p': no model."), EngineError, "The part 'p': no model."),
        (ZeroDivisionError(), EngineError, "The voice activity engine Part did not start: ZeroDivisionError"),
    ],
)
def test_a_part_that_cannot_start_is_named_and_the_others_are_closed(
    error: Exception, expected: type[Exception], line: str
) -> None:
    main = Part()
    with pytest.raises(expected) as raised:
        asyncio.run(registry.Ensemble(main, Part(error=error)).start())
    assert str(raised.value) == line
    assert main.notes == ["start", "close"]


def test_a_part_that_cannot_close_keeps_nobody_from_closing(caplog: pytest.LogCaptureFixture) -> None:
    class Stuck(Part):
        async def close(self) -> None:
            raise OSError("stuck")

    voice_activity = Part()
    asyncio.run(registry.Ensemble(Stuck(), voice_activity).close())
    assert voice_activity.notes == ["close"]
    assert "the engine Stuck did not close" in caplog.text


def test_a_session_that_cannot_open_leaves_nothing_open() -> None:
    class Closed(Part):
        def open(self, emit: Emit) -> EngineSession:
            raise EngineError("full", "No room.")

    main = Part()
    with pytest.raises(EngineError):
        registry.Ensemble(main, Closed()).open(lambda event: None)
    assert main.notes == ["open", "close session"]


def test_a_shared_part_starts_with_the_first_and_closes_with_the_last() -> None:
    async def scene() -> None:
        part = Part()
        shared = registry.Shared(part)
        one, two = registry.Ensemble(Part(), shared), registry.Ensemble(Part(), shared)
        await asyncio.gather(one.start(), two.start())
        await one.close()
        assert part.notes == ["start"]
        await two.close()
        assert part.notes == ["start", "close"]

    asyncio.run(scene())
