"""Frozen dataclasses as JSON documents: written, read strictly, and described by a JSON Schema.

A field may be a str, int, float, bool, date, datetime, a Literal, a dataclass, one of these or
None, a tuple of these, or a Mapping from names to these. Every stage writes documents that a
later one reads, perhaps with newer or older code: a field with a default may be missing, and an
unknown field is ignored.
"""

import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
JsonText = str | bytes

_PLAIN: Final[Mapping[type, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
}


class DocumentError(ValueError):
    """A document does not have the shape of its record; the message names the place."""


def to_json(record: Any) -> str:
    """Return a record as JSON text, in the order of its fields; moments are in UTC."""
    return json.dumps(asdict(record), default=_plain, indent=1, ensure_ascii=False)


def from_json(record: type[T], text: JsonText) -> T:
    """Return the record that a JSON text holds.

    Raises:
        DocumentError: the text is no JSON, a field is missing, or a value has another type.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise DocumentError(f"{record.__name__} is not JSON: {error}") from error
    found: T = _read(record, document, record.__name__)
    return found


def schema(record: type[Any]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a record's documents."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": record.__name__,
        **_schema(record),
    }


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


def _read(kind: Any, value: Any, place: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _read_record(kind, value, place)
    if origin in (Union, types.UnionType):
        [inner] = [argument for argument in arguments if argument is not types.NoneType]
        return None if value is None else _read(inner, value, place)
    if origin is tuple:
        items = _expect(list, value, place)
        return tuple(_read(arguments[0], item, f"{place}[{n}]") for n, item in enumerate(items))
    if origin is Mapping:
        entries = _expect(dict, value, place)
        return {
            name: _read(arguments[1], item, f"{place}.{name}") for name, item in entries.items()
        }
    if origin is Literal:
        if value not in arguments:
            raise DocumentError(f"{place} is {value!r}, not one of {', '.join(arguments)}")
        return value
    if kind in (date, datetime):
        return _read_time(kind, value, place)
    if kind is float:
        kind = (int, float)
    return _expect(kind, value, place)


def _read_record(record: Any, value: Any, place: str) -> Any:
    document = _expect(dict, value, place)
    hints = get_type_hints(record)
    values = {}
    for field in fields(record):
        if field.name in document:
            values[field.name] = _read(
                hints[field.name], document[field.name], f"{place}.{field.name}"
            )
        elif _is_required(field):
            raise DocumentError(f"{place} has no {field.name}")
    return record(**values)


def _read_time(kind: Any, value: Any, place: str) -> date:
    text = _expect(str, value, place)
    try:
        found: date = kind.fromisoformat(text)
    except ValueError as error:
        raise DocumentError(f"{place} is {text!r}, not an ISO 8601 {kind.__name__}") from error
    return found.astimezone(UTC) if isinstance(found, datetime) else found


def _expect(kind: Any, value: Any, place: str) -> Any:
    # bool is a subclass of int.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise DocumentError(f"{place} is {value!r}, of another type than documented")
    return value


def _is_required(field: "Field[Any]") -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _schema(kind: Any) -> dict[str, Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return {
            "description": " ".join((kind.__doc__ or "").split()),
            "type": "object",
            "properties": {field.name: _schema(hints[field.name]) for field in fields(kind)},
            "required": [field.name for field in fields(kind) if _is_required(field)],
        }
    if origin in (Union, types.UnionType):
        [inner] = [argument for argument in arguments if argument is not types.NoneType]
        return {"anyOf": [_schema(inner), {"type": "null"}]}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0])}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _schema(arguments[1])}
    if origin is Literal:
        return {"enum": list(arguments)}
    if kind in (date, datetime):
        return {"type": "string", "format": "date" if kind is date else "date-time"}
    return {"type": _PLAIN[kind]}
