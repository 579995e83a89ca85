"""Nouns of application.json: dataclasses as JSON, with the name of their class where there are several, and back."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from inference.applications.bundle.expecting import tupled


def said_of(noun: Any) -> dict[str, Any]:
    """The fields of a dataclass that are not as they would be without a word."""
    return {one.name: value for one in fields(noun) if (value := getattr(noun, one.name)) != one.default}


def named(each: Any) -> dict[str, Any]:
    """A noun with the name of its class, for JSON."""
    return {"name": type(each).__name__, **asdict(each)}


def made_of(kinds: Mapping[str, Any], said: Any) -> Any:
    """The noun of its name that JSON holds; KeyError, TypeError or ValueError where it is none of these kinds."""
    given = dict(said)
    name = given.pop("name")
    kind = kinds[name]
    unknown = set(given) - {field.name for field in fields(kind)}
    if unknown:
        raise ValueError(f"{name} has no {', '.join(sorted(unknown))}")
    return kind(**{key: tupled(value) for key, value in given.items()})
