"""JSON schemas of tools: does a value fit.

Enough of the standard for what tools use. A keyword that is not known here makes `fits` say no: better no call than one
that the client's own validator rejects. Schemas come from clients, so nothing here trusts their shape or their size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

from vivavoce.engines.offline import patterns
from vivavoce.engines.offline.words import word_set

Schema = Mapping[str, Any]

MAX_STEPS: Final = 1_000
"""How many (value, schema) pairs are compared for one call. Schemas that refer to themselves have no other end."""
MAX_DEPTH: Final = 12
MAX_PARTS: Final = 16
"""How many parts of an `allOf`, `anyOf` or `oneOf` are read."""

_UNKNOWN = word_set(
    "patternProperties propertyNames contains if dependentRequired dependentSchemas dependencies unevaluatedProperties "
    "unevaluatedItems $dynamicRef $recursiveRef prefixItems additionalItems disallow extends"
)
_NOTHING: Final[Schema] = {"not": {}}
"""What no value fits."""


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def array(value: Any) -> list[Any]:
    """The value if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def strings(value: Any) -> list[str]:
    """The strings of a JSON array."""
    return [entry for entry in array(value) if isinstance(entry, str)]


def number(schema: Schema, keyword: str) -> Fraction | None:
    """The number that the schema gives there, as it is written."""
    value = schema.get(keyword)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return None
    return Fraction(str(value))


def kinds(schema: Schema) -> tuple[str, ...]:
    """The JSON types that the schema names, or that its keywords make plain; empty: any."""
    named = schema.get("type")
    if isinstance(named, str):
        return (named,)
    if isinstance(named, list):
        return tuple(strings(named))
    if "properties" in schema or "required" in schema:
        return ("object",)
    return ("array",) if "items" in schema else ()


def is_a(value: Any, kind: str) -> bool:
    """Whether the value has this JSON type. 1.0 is an integer; true is no number."""
    match kind:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "integer":
            return is_a(value, "number") and math.isfinite(value) and value == int(value)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
    return False


def same(one: Any, other: Any) -> bool:
    """JSON equality: 1 is 1.0, but not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


class Document:
    """A schema document, which `#/$defs/…` refers to, and how much work may still be spent on it."""

    def __init__(self, root: Any, steps: int = MAX_STEPS) -> None:
        self._root = root
        self._steps = steps
        self._doubts = 0

    @property
    def spent(self) -> bool:
        """Whether to give up. From then on nothing fits."""
        return self._steps <= 0

    def resolve(self, schema: Any) -> Schema:
        """The schema with `$ref` followed and `allOf` merged, as far as that goes. What is no object allows anything."""
        if schema is False:
            return _NOTHING
        merged = mapping(schema)
        for _ in range(MAX_DEPTH):
            if "$ref" in merged:
                rest = {key: value for key, value in merged.items() if key != "$ref"}
                merged = {**mapping(self._referenced(merged["$ref"])), **rest}
            elif "allOf" in merged:
                parts = array(merged["allOf"])[:MAX_PARTS]
                merged = {key: value for key, value in merged.items() if key != "allOf"}
                for part in parts:
                    merged = _merge(merged, mapping(part))
            else:
                break
        return merged

    def branches(self, schema: Schema, depth: int = 0) -> list[Schema]:
        """The alternatives of `anyOf` and `oneOf`, each with what stands beside them, null last; or the schema alone."""
        options = array(schema.get("anyOf")) or array(schema.get("oneOf"))
        if not options or depth > 2:
            return [schema]
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
        found: list[Schema] = []
        for option in options[:MAX_PARTS]:
            found += self.branches({**rest, **self.resolve(option)}, depth + 1)
        return sorted(found[:MAX_PARTS], key=lambda branch: kinds(branch) == ("null",))

    def fits(self, value: Any, schema: Any, depth: int = 0) -> bool:
        """Whether the value validates. False also where this module does not know."""
        self._steps -= 1
        if isinstance(schema, bool):
            return schema
        if self.spent or not isinstance(schema, dict) or depth > MAX_DEPTH or _is_beyond_us(schema):
            self._doubts += 1
            return False
        if "$ref" in schema and not self.fits(value, self._referenced(schema["$ref"]), depth + 1):
            return False
        if "type" in schema and not any(is_a(value, kind) for kind in kinds(schema)):
            return False
        if "const" in schema and not same(value, schema["const"]):
            return False
        if "enum" in schema and not any(same(value, option) for option in array(schema["enum"])):
            return False
        return self._fits_combined(value, schema, depth) and self._fits_kind(value, schema, depth)

    def _referenced(self, ref: Any) -> Any:
        """What a local reference such as `#/$defs/Place` names; a dead or foreign one names what nothing fits."""
        found: Any = self._root
        steps = ref.split("/") if isinstance(ref, str) else [""]
        if steps[0] != "#":
            return _NOTHING
        for step in steps[1:]:
            found = mapping(found).get(step.replace("~1", "/").replace("~0", "~"), _NOTHING)
        return found

    def _fits_combined(self, value: Any, schema: Schema, depth: int) -> bool:
        return (
            all(self.fits(value, part, depth + 1) for part in array(schema.get("allOf")))
            and ("anyOf" not in schema or any(self.fits(value, part, depth + 1) for part in array(schema["anyOf"])))
            and ("oneOf" not in schema or self._count_fitting(value, array(schema["oneOf"]), depth) == 1)
            and ("not" not in schema or self._count_fitting(value, [schema["not"]], depth) == 0)
        )

    def _count_fitting(self, value: Any, parts: list[Any], depth: int) -> int:
        """How many of the schemas the value fits; -1 if that is not sure. Here "I do not know" must not pass for a no."""
        doubts = self._doubts
        count = sum(self.fits(value, part, depth + 1) for part in parts)
        return count if self._doubts == doubts else -1

    def _fits_kind(self, value: Any, schema: Schema, depth: int) -> bool:
        if isinstance(value, str):
            return _fits_string(value, schema)
        if is_a(value, "number"):
            return _fits_number(value, schema)
        if isinstance(value, list):
            return self._fits_array(value, schema, depth)
        if isinstance(value, dict):
            return self._fits_object(value, schema, depth)
        return True

    def _fits_array(self, value: list[Any], schema: Schema, depth: int) -> bool:
        if not _between(len(value), schema, "minItems", "maxItems"):
            return False
        if schema.get("uniqueItems") is True and any(same(a, b) for at, a in enumerate(value) for b in value[:at]):
            return False
        return "items" not in schema or all(self.fits(item, schema["items"], depth + 1) for item in value)

    def _fits_object(self, value: dict[str, Any], schema: Schema, depth: int) -> bool:
        properties = mapping(schema.get("properties"))
        if any(name not in value for name in strings(schema.get("required"))):
            return False
        if not _between(len(value), schema, "minProperties", "maxProperties"):
            return False
        others = schema.get("additionalProperties", True)
        return all(self.fits(inner, properties.get(name, others), depth + 1) for name, inner in value.items())


def _is_beyond_us(schema: Schema) -> bool:
    return not _UNKNOWN.isdisjoint(schema) or ("pattern" in schema and not patterns.is_plain(schema["pattern"]))


def _merge(one: Schema, other: Schema) -> dict[str, Any]:
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**mapping(one["properties"]), **mapping(other["properties"])}
    if "required" in one and "required" in other:
        merged["required"] = [*array(one["required"]), *array(other["required"])]
    return merged


def _fits_string(value: str, schema: Schema) -> bool:
    if not _between(len(value), schema, "minLength", "maxLength"):
        return False
    pattern = schema.get("pattern")
    return pattern is None or patterns.matches(pattern, value)


def _fits_number(value: float, schema: Schema) -> bool:
    if not math.isfinite(value) or not _between(value, schema, "minimum", "maximum"):
        return False
    lower, upper = number(schema, "exclusiveMinimum"), number(schema, "exclusiveMaximum")
    if (lower is not None and value <= lower) or (upper is not None and value >= upper):
        return False
    if "multipleOf" not in schema:
        return True
    # Both as decimals and as floats: validators do it either way.
    step = number(schema, "multipleOf")
    if step is None or step <= 0 or Fraction(str(value)) % step != 0:
        return False
    quotient = value / schema["multipleOf"]
    return math.isfinite(quotient) and quotient == int(quotient)


def _between(value: float, schema: Schema, least: str, most: str) -> bool:
    lower, upper = number(schema, least), number(schema, most)
    return (lower is None or value >= lower) and (upper is None or value <= upper)
