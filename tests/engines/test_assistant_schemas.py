"""Whatever the schema and whatever the words: a call's arguments are JSON that validates. `jsonschema` is the judge."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engines.assistant_dialogues import NOW, tools
from vivavoce.engine_api import Generate
from vivavoce.engines.offline.answers import answer
from vivavoce.engines.offline.patterns import matches, sample
from vivavoce.engines.offline.samples import samples
from vivavoce.engines.offline.schema import Document
from vivavoce.engines.offline.words import word_list
from vivavoce.protocol.objects import FunctionChoice, FunctionTool, InputTextPart, Message

MANY = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])

NAMES = st.sampled_from(
    word_list(
        """
        city location date time direction distance_meters people message recipient urgent color unit items query name id
        expression language from to when count enabled 名前 x $ __
        """
    )
)
WORDS = st.sampled_from(
    word_list(
        """
        go forward backward ten meters the weather in paris and rome tomorrow at seven pm for four people yes no on off red
        blue send a message to bob saying hello set timer five minutes not urgent 12 3.5 -4 what is twelve times celsius
        please from london half a "quoted words" A-17 with without , . ? unknown
        """
    )
)
TEXTS = st.one_of(st.lists(WORDS, max_size=16).map(" ".join), st.text(max_size=60))

STRINGS = st.one_of(
    st.just({"type": "string"}),
    st.builds(
        lambda a, b: {"type": "string", "minLength": min(a, b), "maxLength": max(a, b)},
        st.integers(0, 20),
        st.integers(0, 20),
    ),
    st.sampled_from(["date", "time", "date-time", "email", "uri", "no-such-format"]).map(
        lambda f: {"type": "string", "format": f}
    ),
    st.sampled_from([r"^[A-Z]{3}$", r"^\d+$", r"^[a-z]+-\d{2,4}$", "x", r"^\+?\d{1,15}$"]).map(
        lambda p: {"type": "string", "pattern": p}
    ),
)
NUMBERS = st.one_of(
    st.sampled_from([{"type": "number"}, {"type": "integer"}]),
    st.builds(
        lambda kind, low, size: {"type": kind, "minimum": low, "maximum": low + size},
        st.sampled_from(["number", "integer"]),
        st.integers(-1000, 1000),
        st.integers(0, 100),
    ),
    st.builds(
        lambda low, step: {"type": "number", "exclusiveMinimum": low, "multipleOf": step},
        st.integers(-9, 9),
        st.sampled_from([1, 5, 0.5]),
    ),
)
ENUMS = st.lists(
    st.one_of(WORDS, st.integers(-5, 20), st.booleans(), st.none(), st.sampled_from(["very_hot", "extraLarge", "on", "10"])),
    min_size=1,
    max_size=6,
).map(lambda values: {"enum": values})
SCALARS = st.one_of(
    STRINGS, NUMBERS, ENUMS, st.just({"type": "boolean"}), st.builds(lambda v: {"const": v}, st.one_of(WORDS, st.integers()))
)


def nested(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        st.builds(lambda items, least: {"type": "array", "items": items, "minItems": least}, inner, st.integers(0, 2)),
        st.builds(lambda items: {"type": "array", "items": items, "uniqueItems": True, "maxItems": 3}, inner),
        st.builds(lambda one, other: {"anyOf": [one, other]}, inner, inner),
        st.builds(lambda one: {"anyOf": [one, {"type": "null"}]}, inner),
        st.builds(lambda one, default: {**one, "default": default}, inner, st.one_of(WORDS, st.integers(), st.booleans())),
        objects(inner),
    )


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    properties = draw(st.dictionaries(NAMES, inner, max_size=5))
    required = [name for name in properties if draw(st.booleans())]
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    return {**schema, "additionalProperties": False} if draw(st.booleans()) else schema


SCHEMAS = objects(st.recursive(SCALARS, nested, max_leaves=6))
"""Schemas as tools have them; each can be satisfied, but for a contradictory default."""
TOOLS = st.lists(
    st.builds(
        lambda name, schema, description: FunctionTool(name=name, parameters=schema, description=description),
        st.sampled_from(word_list("get_weather move send_message set_timer lookUp calculate book_table do 工具 x")),
        SCHEMAS,
        st.sampled_from(["Gets the weather.", "Moves things to a city", "A tool.", ""]),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda tool: tool.name,
)


def request(text: str, tools: list[FunctionTool], **settings: Any) -> Generate:
    return Generate(
        response_id="resp", items=(Message(role="user", content=(InputTextPart(text),)),), tools=tuple(tools), **settings
    )


def check(call: Any, tools: list[FunctionTool]) -> None:
    tool = next(tool for tool in tools if tool.name == call.name)
    jsonschema.Draft202012Validator(tool.parameters).validate(json.loads(call.arguments))


@MANY
@given(st.lists(TEXTS, min_size=2, max_size=5), TOOLS)
def test_what_is_called_after_questions_validates(texts: list[str], tools: list[FunctionTool]) -> None:
    items: list[Message] = []
    for text in texts:
        items.append(Message(role="user", content=(InputTextPart(text),)))
        found = answer(Generate(response_id="r", items=tuple(items), tools=tuple(tools)), NOW)
        for call in found.calls:
            check(call, tools)
        items.append(Message(role="assistant", content=(InputTextPart(found.text),)))


@MANY
@given(TEXTS, TOOLS, st.booleans())
def test_what_is_called_validates(text: str, tools: list[FunctionTool], parallel: bool) -> None:
    for call in answer(request(text, tools, parallel_tool_calls=parallel), NOW).calls:
        check(call, tools)


@MANY
@given(TEXTS, TOOLS)
def test_required_calls_a_tool_and_validates(text: str, tools: list[FunctionTool]) -> None:
    (call,) = answer(request(text, tools, tool_choice="required"), NOW).calls
    check(call, tools)


@MANY
@given(TEXTS, TOOLS)
def test_a_forced_function_is_called_and_validates(text: str, tools: list[FunctionTool]) -> None:
    (call,) = answer(request(text, tools, tool_choice=FunctionChoice(name=tools[-1].name)), NOW).calls
    assert call.name == tools[-1].name
    check(call, tools)


@MANY
@given(TEXTS, TOOLS)
def test_none_calls_nothing(text: str, tools: list[FunctionTool]) -> None:
    found = answer(request(text, tools, tool_choice="none"), NOW)
    assert not found.calls
    assert found.text


@MANY
@given(TEXTS, st.lists(TEXTS, max_size=4), TOOLS)
def test_the_same_request_has_the_same_answer(text: str, earlier: list[str], tools: list[FunctionTool]) -> None:
    items = tuple(
        Message(role="user" if at % 2 == 0 else "assistant", content=(InputTextPart(said),))
        for at, said in enumerate([*earlier, text])
    )
    asked = Generate(response_id="resp", items=items, tools=tuple(tools))
    assert answer(asked, NOW) == answer(asked, NOW)


KEYWORDS = st.sampled_from(
    word_list(
        """
        type properties required items enum const default anyOf oneOf allOf not $ref $defs pattern minimum maximum multipleOf
        exclusiveMinimum minLength maxItems uniqueItems additionalProperties format if string city
        """
    )
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYWORDS, inner, max_size=4)),
    max_leaves=20,
)


@MANY
@given(TEXTS, st.dictionaries(KEYWORDS, JSON, max_size=5), st.sampled_from(["auto", "required"]))
def test_a_senseless_schema_breaks_nothing(text: str, schema: dict[str, Any], choice: Any) -> None:
    tool = FunctionTool(name="get_weather", parameters=schema, description="weather in a city")
    for call in answer(request(f"what is the weather in paris {text}", [tool], tool_choice=choice), NOW).calls:
        assert isinstance(json.loads(call.arguments), dict)


@MANY
@given(st.dictionaries(KEYWORDS, JSON, max_size=5), JSON)
def test_what_fits_validates(schema: dict[str, Any], value: Any) -> None:
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        valid = jsonschema.Draft202012Validator(schema).is_valid(value)
    except Exception:  # the oracle itself gives up: a bad pattern, a reference into nothing, an endless one
        return
    if Document(schema).fits(value, schema):
        assert valid


@MANY
@given(SCHEMAS)
def test_samples_validate(schema: dict[str, Any]) -> None:
    found = list(samples(Document(schema), schema, "some words"))
    assert found
    for value in found[:5]:
        jsonschema.Draft202012Validator(schema).validate(value)


@pytest.mark.parametrize("name", tools())
def test_every_tool_of_the_dialogues_is_valid(name: str) -> None:
    parameters = tools()[name].parameters
    if isinstance(parameters, dict):
        jsonschema.Draft202012Validator.check_schema(parameters)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"^[A-Z]{2}-\d+$", "AA-0"),
        (r"^\+\d{1,15}$", "+0"),
        (r"^a?b*$", ""),
        ("(a+)+$", None),
        ("[", None),
        ("a|b", None),
        ("x*x*x*", None),
    ],
)
def test_samples_of_patterns(pattern: str, expected: str | None) -> None:
    assert sample(pattern) == expected


def test_an_endless_search_is_not_begun() -> None:
    assert not matches("^(a+)+$", "a" * 60 + "!")
