"""Which configuration a command means when none is named."""

from pathlib import Path

from node.settings.errors import ConfigMissing

PLACES = (Path("hilum.yaml"), Path("config/hilum.yaml"))
"""Looked at in this order, from the working directory."""


def find_config(given: Path | None) -> Path:
    """The file that was given, else the first of `PLACES` that is there.

    Raises
    ------
    ConfigMissing
        It is not there, or none of `PLACES` is.
    """
    if given is not None:
        if not given.is_file():
            raise ConfigMissing(f"{given}: {'is a folder' if given.is_dir() else 'there is no such file'}")
        return given
    for place in PLACES:
        if place.is_file():
            return place
    raise ConfigMissing(f"no configuration: neither {PLACES[0]} nor {PLACES[1]} is here ({Path.cwd()})")
