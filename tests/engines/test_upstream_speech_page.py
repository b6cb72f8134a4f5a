"""The settings on `docs/how-to/upstream-speech.md` are settings, and its tables name every option."""

import re
from pathlib import Path

import pytest

from vivavoce.engines import chat_audio, realtime
from vivavoce.engines.upstream_options import UpstreamOptions
from vivavoce.registry import ENGINES, find
from vivavoce.settings import load

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "upstream-speech.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_can_be_served(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "DASHSCOPE_API_KEY"):
        monkeypatch.setenv(name, "sk-any")
    file = tmp_path / "vivavoce.toml"
    file.write_text(example)
    settings = load(file)
    engine = find(ENGINES, settings.engine)(settings.engines[settings.engine])
    assert engine.capabilities.native_audio


@pytest.mark.parametrize("engine", [chat_audio, realtime])
def test_every_option_is_named(engine: object) -> None:
    options = set(engine.Options.__struct_fields__) - set(UpstreamOptions.__struct_fields__)
    assert [name for name in sorted(options) if f"`{name}`" not in PAGE] == []
