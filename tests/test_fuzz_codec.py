"""Ten thousand broken frames, and what hypothesis thinks of. `python -m tests.fuzz_codec` goes on as long as you like."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz_codec import examine, live, run, seeds
from vivavoce.protocol.beta import BETA
from vivavoce.protocol.client_events import CLIENT_EVENTS
from vivavoce.protocol.codec import GA, Dialect
from vivavoce.protocol.server_events import wire_name

dialects = pytest.mark.parametrize("dialect", [GA, BETA], ids=lambda dialect: dialect.name)
thorough = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
names = st.sampled_from(
    ["type", "role", "content", "audio", "input", "format", "voice", "text", "id", "item_id", "event_id"]
)
anything: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.text(max_size=4), inner, max_size=4)
)
types = st.sampled_from([*map(wire_name, CLIENT_EVENTS), "transcription_session.update"])
fields = st.sampled_from(["session", "item", "response", "audio", "item_id", "content_index", "audio_end_ms", "event_id"])
events = st.builds(lambda kind, members: {"type": kind, **members}, types, st.dictionaries(fields, anything, max_size=4))


def test_ten_thousand_broken_frames() -> None:
    outcomes = run(10_000, seed=1)
    assert {wire_name(event) for event in CLIENT_EVENTS} <= {_wire(outcome) for outcome in outcomes}
    assert {"invalid_json", "invalid_event", "invalid_type", "invalid_value", "unknown_parameter"} <= outcomes.keys()
    assert {"missing_required_parameter"} <= outcomes.keys()


@dialects
@pytest.mark.parametrize("seed", range(10))
def test_a_session_survives_broken_frames(dialect: Dialect, seed: int) -> None:
    live(100, seed, dialect)


def _wire(outcome: str) -> str:
    return next((wire_name(event) for event in CLIENT_EVENTS if event.__name__ == outcome), outcome)


@dialects
@thorough
@given(frame=st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_and_any_text(dialect: Dialect, frame: str | bytes) -> None:
    examine(frame, dialect)


@dialects
@thorough
@given(value=anything)
def test_any_json(dialect: Dialect, value: Any) -> None:
    examine(json.dumps(value), dialect)


@dialects
@thorough
@given(event=events)
def test_any_event_with_wrong_insides(dialect: Dialect, event: dict[str, Any]) -> None:
    examine(json.dumps(event), dialect)


def test_the_seeds_are_valid_in_one_dialect_at_least() -> None:
    for frame in seeds():
        assert {examine(frame, GA), examine(frame, BETA)} & {event.__name__ for event in CLIENT_EVENTS}
