"""Settings: three sources, one result, and errors that say which line to mend."""

from pathlib import Path

import pytest

from tools.settings_reference import reference
from vivavoce.protocol.errors import SettingsError
from vivavoce.settings import Settings, load, masked

ROOT = Path(__file__).parents[1]


def file(folder: Path, text: str) -> Path:
    path = folder / "vivavoce.toml"
    path.write_text(text)
    return path


def test_nothing_given_is_every_default() -> None:
    assert load() == Settings()


def test_flags_win_over_variables_and_variables_over_the_file(tmp_path: Path) -> None:
    path = file(tmp_path, 'port = 1\nengine = "echo"\n[limits]\nmax_sessions = 1\nitems = 7\n')
    env = {"VIVAVOCE_PORT": "2", "VIVAVOCE_LIMITS_MAX_SESSIONS": "2"}
    settings = load(path, env, {"port": 3})
    assert (settings.port, settings.engine) == (3, "echo")
    assert (settings.limits.max_sessions, settings.limits.items) == (2, 7)


def test_a_profile_lies_below_all_else(tmp_path: Path) -> None:
    profile = tmp_path / "house.toml"
    profile.write_text('port = 1\nengine = "echo"\nhost = "::1"\n[engines.cascade]\ntranscriber = "a"\nsynthesizer = "b"\n')
    path = file(tmp_path, f'profile = "{profile}"\nengine = "scripted"\n[engines.cascade]\nsynthesizer = "c"\n')
    settings = load(path, {"VIVAVOCE_PORT": "2"})
    assert (settings.port, settings.engine, settings.host) == (2, "scripted", "::1")
    assert settings.engines == {"cascade": {"transcriber": "a", "synthesizer": "c"}}
    assert load(None, {"VIVAVOCE_PROFILE": "offline"}, {"profile": str(profile)}).engine == "echo"


def test_what_is_wrong_with_a_profile_names_its_line(tmp_path: Path) -> None:
    profile = tmp_path / "house.toml"
    for text, complaint in {
        "port = 1\nprot = 1": 'house.toml:2: unknown setting "prot"',
        "\n[limits]\nitems = 'many'": "house.toml:3: limits.items: expected an integer",
        "\nprofile = 'laptop'": "house.toml:2: a profile cannot name another one.",
    }.items():
        profile.write_text(text)
        with pytest.raises(SettingsError) as error:
            load(None, None, {"profile": str(profile)})
        assert complaint in str(error.value)
    path = file(tmp_path, "[limits]\nmax_sessions = 2\nitems = 'few'")
    profile.write_text("port = 1")
    with pytest.raises(SettingsError, match=r"vivavoce.toml:3: limits.items"):
        load(path, None, {"profile": str(profile)})


def test_an_unknown_profile_is_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r'vivavoce.toml:1: profile: there is no "lap". There are: .*offline.* Or name a'
    ):
        load(file(tmp_path, "profile = 'lap'"))


def test_variables_and_flags_are_read_by_the_type_of_the_setting() -> None:
    env = {
        "VIVAVOCE_API_KEYS": "one, two,",
        "VIVAVOCE_MODELS": "a=echo, b=scripted",
        "VIVAVOCE_GRACE_SECONDS": "2.5",
        "VIVAVOCE_ENGINES_CASCADE_CHAT_MODEL": "assistant",
        "VIVAVOCE_ENGINES_CASCADE_THREADS": "4",
    }
    settings = load(None, env, {"limits.items": "5", "engines.echo.delay_ms": "20"})
    assert settings.api_keys == ("one", "two")
    assert settings.models == {"a": "echo", "b": "scripted"}
    assert settings.grace_seconds == 2.5
    assert settings.engines == {"cascade": {"chat_model": "assistant", "threads": 4}, "echo": {"delay_ms": 20}}
    assert settings.limits.items == 5


def test_foreign_variables_harm_nobody() -> None:
    env = {"VIVAVOCE_SERVICE_HOST": "10.0.0.1", "VIVAVOCE_PORT": "tcp://10.0.0.1:8000", "PORT": "1"}
    assert load(None, env) == Settings()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("\nprot = 1", 'vivavoce.toml:2: unknown setting "prot". Did you mean "port"?'),
        (
            "[limits]\n# how many\nmax_sesions = 1",
            ':3: unknown setting "limits.max_sesions". Did you mean "limits.max_sessions"?',
        ),
        ("limits.itemz = 1", ':1: unknown setting "limits.itemz". Did you mean "limits.items"?'),
        ("max_sessions = 1", 'Did you mean "limits.max_sessions"?'),
        ("[limit]\nitems = 1", 'Did you mean "limits.items"?'),
        ("[limits]\n\nitems = 'many'", "vivavoce.toml:3: limits.items: expected an integer"),
        ("port = 70000", "vivavoce.toml:1: port: expected an integer <= 65535."),
        ("log = 'xml'", "vivavoce.toml:1: log: invalid enum value 'xml'. Write one of: human, json."),
        ("limits = 3", "vivavoce.toml:1: limits: expected a table, got an integer."),
        ("allowed_origins = [3]", "vivavoce.toml:1: allowed_origins[0]: expected a string, got an integer."),
        ("models = {a = 3}", "vivavoce.toml:1: models: expected a string, got an integer."),
        ("port = ", "not valid TOML"),
        ("certfile = 'a.pem'", "TLS needs both"),
        ("allowed_origins = ['https://a.example/x']", "vivavoce.toml:1: allowed_origins:"),
    ],
)
def test_a_mistake_is_an_error_that_names_the_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(SettingsError) as error:
        load(file(tmp_path, text))
    assert complaint in str(error.value)


@pytest.mark.parametrize(
    "flags", [{"limits.item": "1"}, {"port": "eighty"}, {"limits": "1"}, {"port.x": "1"}, {"models": "echo"}]
)
def test_a_mistake_in_a_flag_is_an_error_too(flags: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        load(None, None, flags)


def test_a_missing_file_is_the_operators_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Cannot read the settings file"):
        load(tmp_path / "nowhere.toml")


def test_no_secret_is_ever_shown() -> None:
    settings = Settings(
        api_keys=("sk-hidden",),
        secret_key="hidden",
        engines={"cloud": {"api_key": "hidden", "parts": {"access_token": "hidden"}, "url": "x"}},
    )
    for text in (repr(settings), str(settings), str(masked(settings))):
        assert "hidden" not in text
    assert masked(settings)["engines"]["cloud"]["url"] == "x"


def test_the_reference_page_is_current() -> None:
    page = (ROOT / "docs/reference/settings.md").read_text()
    assert page == reference(), "run: python tools/settings_reference.py > docs/reference/settings.md"
