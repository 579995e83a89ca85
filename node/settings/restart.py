"""Which keys of hilum.yaml wait for a restart: those that bind sockets, are the store, or found processes. A reload takes up all others."""

from dataclasses import is_dataclass
from typing import Any

from node.settings.blocks import differing_keys
from node.settings.config import Config
from node.settings.load import HilumFile

_MODELS = {"repository": "models", "applications": "application_folders"}
"""Keys of `models:` and the fields of a configuration that hold them."""
_FIELDS = {"define": "definitions"}
"""Blocks whose field of a configuration has another name."""


def waiting_keys(file: HilumFile, one: Config, other: Config) -> list[str]:
    """The keys that wait for a restart and differ in two configurations: `node.listen`, or the whole block where one has none."""
    return [name for key in file.whole.keys if key.restart for name in _differing(key.name, one, other)]


def changed_blocks(file: HilumFile, one: Config, other: Config) -> tuple[str, ...]:
    """The live blocks in which two configurations differ; a profile counts where a sink goes by it."""
    names = [key.name for key in file.whole.keys if not key.restart and key.name != "profiles"]
    return tuple(name for name in names if getattr(one, _FIELDS.get(name, name)) != getattr(other, _FIELDS.get(name, name)))


def _differing(block: str, one: Config, other: Config) -> list[str]:
    if block == "models":
        return [f"{block}.{key}" for key, field in _MODELS.items() if getattr(one, field) != getattr(other, field)]
    here: Any = getattr(one, block)
    there: Any = getattr(other, block)
    if here == there:
        return []
    if is_dataclass(here) and type(here) is type(there):
        return [f"{block}.{key}" for key in differing_keys(here, there)]
    return [block]
