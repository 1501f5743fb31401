"""Reads Stripe's form encoding `a[b][0][c]=…` against the parameters a call knows, and refuses others."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from shared.sandbox.stripe.errors import invalid

Json: TypeAlias = dict[str, Any]


class Kind(Enum):
    """What one value may be."""

    TEXT = auto()
    CLEARABLE = auto()
    """Text, or empty to unset it."""
    INT = auto()
    NUMBER = auto()
    BOOL = auto()
    MAP = auto()
    """Free keys and text values, such as metadata."""
    ANY = auto()
    """Known to Stripe, accepted without a look inside."""


@dataclass(frozen=True, slots=True)
class Text:
    """Text of so many characters at most, where Stripe says how many."""

    most: int


Schema: TypeAlias = Kind | Text | Mapping[str, "Schema"] | Sequence["Schema"] | tuple[str, ...]
"""A mapping names the parameters, a list of one says 'list of', a tuple of texts is a choice."""

Fields: TypeAlias = Mapping[str, Schema]

PAGING: Fields = {
    "limit": Kind.INT,
    "starting_after": Kind.TEXT,
    "ending_before": Kind.TEXT,
    "created": Kind.ANY,
}


def parse_form(text: str) -> Json:
    """Nested mappings of texts; lists stay mappings with number keys until the schema says what they are."""
    root: Json = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        *path, last = key.replace("]", "").split("[")
        node = root
        for part in path:
            child = node.setdefault(part or str(len(node)), {})
            if not isinstance(child, dict):
                raise invalid(f"Invalid parameter: {key}", key)
            node = child
        node[last or str(len(node))] = value
    return root


def check(schema: Fields, raw: Json) -> Json:
    """The parameters in their types. Raises StripeError 400 for an unknown name or a wrong value."""
    known = {**schema, "expand": [Kind.TEXT]}
    return {name: _value(known.get(name), value, name) for name, value in raw.items()}


def need(params: Json, name: str) -> Any:
    """A parameter that must be there; StripeError 400 otherwise."""
    if params.get(name) is None:
        raise invalid(f"Missing required param: {name}.", name, "parameter_missing")
    return params[name]


def inside(outer: str, name: str) -> str:
    """How Stripe names a parameter within another, as in `price_data[currency]`."""
    return f"{outer}[{name}]" if outer else name


def _value(schema: Schema | None, value: Any, param: str) -> Any:
    if schema is None:
        raise invalid(f"Received unknown parameter: {param}", param, "parameter_unknown")
    if isinstance(schema, Kind):
        return _leaf(schema, value, param)
    if isinstance(schema, Text):
        return _text(_filled(_single(value, param), param), param, schema.most)
    if isinstance(schema, tuple):
        return _choice(schema, value, param)
    if isinstance(schema, Mapping):
        if not isinstance(value, dict):
            raise invalid("Invalid object", param)
        return {name: _value(schema.get(name), inner, f"{param}[{name}]") for name, inner in value.items()}
    return _list(schema[0], value, param)


def _list(item: Schema, value: Any, param: str) -> list[Any]:
    if value == "":
        return []
    if not isinstance(value, dict) or not all(key.isdecimal() for key in value):
        raise invalid("Invalid array", param)
    ordered = sorted(value.items(), key=lambda pair: int(pair[0]))
    return [_value(item, inner, f"{param}[{index}]") for index, inner in ordered]


def _choice(choices: tuple[Any, ...], value: Any, param: str) -> str:
    if value not in choices:
        raise invalid(f"Invalid {param}: must be one of {', '.join(choices)}", param)
    return str(value)


def _leaf(kind: Kind, value: Any, param: str) -> Any:
    if kind is Kind.ANY:
        return _loose(value)
    if kind is Kind.MAP:
        return _map(value, param)
    value = _single(value, param)
    if value == "" and kind is Kind.CLEARABLE:
        return None
    return _CONVERSIONS[kind](_filled(value, param), param)


def _filled(value: str, param: str) -> str:
    if value == "":
        raise invalid(
            f"You passed an empty string for '{param}'. We assume empty values are an attempt to unset a "
            f"parameter; however '{param}' cannot be unset.",
            param,
            "parameter_invalid_empty",
        )
    return value


def _single(value: Any, param: str) -> str:
    if not isinstance(value, str):
        raise invalid(f"Invalid value for {param}: must be a single value", param)
    return value


def _text(value: str, param: str, most: int = 5000) -> str:
    if len(value) > most:
        shown = f"{value[:10]}...{value[-10:]}"
        raise invalid(f"Invalid string: {shown}; must be at most {most} characters", param)
    return value


def _integer(value: str, param: str) -> int:
    if not re.fullmatch(r"-?\d{1,15}", value):
        raise invalid(f"Invalid integer: {value}", param, "parameter_invalid_integer")
    return int(value)


def _number(value: str, param: str) -> float:
    if not re.fullmatch(r"\d{1,12}(\.\d{1,12})?", value):
        raise invalid(f"Invalid decimal: {value}", param)
    return float(value)


def _boolean(value: str, param: str) -> bool:
    if value not in ("true", "false"):
        raise invalid(f"Invalid boolean: {value}", param)
    return value == "true"


_CONVERSIONS: dict[Kind, Callable[[str, str], Any]] = {
    Kind.TEXT: _text,
    Kind.CLEARABLE: _text,
    Kind.INT: _integer,
    Kind.NUMBER: _number,
    Kind.BOOL: _boolean,
}


def _map(value: Any, param: str) -> dict[str, str]:
    """Metadata: at most 50 keys of 40 characters with values of 500 (Stripe: Metadata). Empty clears."""
    if value == "":
        return {}
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise invalid("Invalid metadata: values must be text", param)
    if len(value) > 50 or any(len(key) > 40 or len(text) > 500 for key, text in value.items()):
        raise invalid("Metadata takes 50 keys of up to 40 characters, with values up to 500.", param)
    return value


def _loose(value: Any) -> Any:
    if not isinstance(value, dict):
        return {"true": True, "false": False}.get(value, value)
    inner = {key: _loose(item) for key, item in value.items()}
    if inner and all(key.isdecimal() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner
