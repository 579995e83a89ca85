"""What a bundle says of itself for people: title, makers, licence."""

from collections.abc import Mapping
from typing import Any

from inference.applications.bundle.layouts import Bundle

_TITLE = 64
_LICENCES = ("LICENSE", "docs/license.txt", "docs/LICENSE", "license.txt")


def title(metadata: Mapping[str, Any], name: str) -> str:
    """The application's title: one line of at most 64 characters, as an LO element takes it (PS3.5 6.2)."""
    said = str(metadata.get("name") or metadata.get("task") or name)
    return " ".join("".join(each if each.isprintable() and each != "\\" else " " for each in said).split())[:_TITLE].strip() or name


def attribution(metadata: Mapping[str, Any]) -> str:
    """Who made it."""
    parts = [metadata.get("authors"), metadata.get("copyright")]
    return "; ".join(" ".join(str(part).split()) for part in parts if part)[:500]


def licence(bundle: Bundle) -> str:
    """The licence file's first words; the whole text is the publisher's to keep."""
    member = bundle.first(*_LICENCES)
    if member is None:
        return ""
    lines = [line.strip() for line in bundle.read(member).decode("utf-8", "replace").splitlines() if line.strip()]
    return " ".join(lines[:2])[:120]


def about(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """What its makers say of it, a sentence each."""
    keys = ("description", "intended_use", "data_source", "version")
    return tuple(f"{key.replace('_', ' ')}: {' '.join(str(metadata[key]).split())[:500]}" for key in keys if metadata.get(key))
