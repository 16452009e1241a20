"""Turns what pydantic finds wrong into one plain sentence that names the field and what it may be.

The range in the sentence is read from the model itself, so a limit is written down once.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ValidationError

_KINDS: Final = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "an object",
}
_ABOUT_VALUES: Final = "value_error"


def first_sentence(error: ValidationError, model: type[BaseModel], noun: str) -> str:
    """Return one sentence about the first thing that is wrong.

    Args:
        error: what validating ``model`` raised.
        model: the model that was validated.
        noun: what its fields are called: "setting" or "field".
    """
    first = error.errors(include_url=False, include_input=False)[0]
    return sentence(first["type"], first["loc"], first["msg"], model, noun)


def sentence(
    kind: str, place: tuple[int | str, ...], message: str, model: type[BaseModel], noun: str
) -> str:
    """Return one sentence about one finding of pydantic.

    Args:
        kind: pydantic's type of the error.
        place: where it is, from ``model`` on.
        message: pydantic's words; used where a validator of ours wrote them.
        model: the model that was validated.
        noun: what its fields are called.
    """
    named = place[:-1] if place and isinstance(place[-1], int) else place  # a list, not an entry
    name = ".".join(str(part) for part in named)
    if not place:
        return f"This must be an object with {noun}s."
    if kind == "extra_forbidden":
        return f"There is no {noun} named {name}."
    if kind == "missing":
        return f"The {noun} {name} is missing."
    if kind == _ABOUT_VALUES:
        return f"The {noun} {name} {message.removeprefix('Value error, ').rstrip('.')}."
    return f"The {noun} {name} must be {allowed(model, place)}."


def allowed(model: type[BaseModel], place: tuple[int | str, ...]) -> str:
    """Return in words what may stand at a place of a model: "between 40 and 1000", say."""
    whole = model.model_json_schema()
    schema: dict[str, Any] = whole
    for part in place:
        schema = _within(_resolved(schema, whole), part)
    return _words(_resolved(schema, whole))


def _resolved(schema: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """Follow references, and take the one kind that is not null of several."""
    for _ in range(8):
        if "$ref" in schema:
            schema = whole["$defs"][schema["$ref"].rpartition("/")[2]]
        elif "anyOf" in schema:
            kinds: list[dict[str, Any]] = schema["anyOf"]
            schema = next(kind for kind in kinds if kind.get("type") != "null")
        else:
            break
    return schema


def _within(schema: dict[str, Any], part: int | str) -> dict[str, Any]:
    if isinstance(part, int):
        items: dict[str, Any] = schema.get("items", {})
        return items
    found: dict[str, Any] = schema.get("properties", {}).get(part, {})
    return found


def _words(schema: dict[str, Any]) -> str:
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return either(schema["enum"])
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{_KINDS[schema['type']]} between {_plain(low)} and {_plain(high)}"
    if low is not None:
        return f"{_KINDS[schema['type']]} of at least {_plain(low)}"
    if schema.get("type") == "string" and "maxLength" in schema:
        least = schema.get("minLength", 0)
        return f"text of {f'{least} to ' if least else 'at most '}{schema['maxLength']} characters"
    if schema.get("type") == "array":
        most = f" of at most {schema['maxItems']} entries" if "maxItems" in schema else ""
        return f"a list{most}"
    if schema.get("format") == "path":
        return "a path"
    return _KINDS.get(schema.get("type", ""), "of another kind")


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)


def either(values: list[Any] | tuple[Any, ...]) -> str:
    """Return "256, 384 or 512"."""
    words = [str(value) for value in values]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
