"""A receiver's spool, as tests fill it and look into it."""

from pathlib import Path

from node.dimse.port import Intake
from node.domain.instance import Reception

_LIFE = ".life"


def keep_whole(intake: Intake, reception: Reception, dataset: bytes | memoryview) -> None:
    """Keep an instance whose bytes are all here.

    Raises
    ------
    RefusedError
        Nothing is kept, nothing is left behind.
    """
    incoming = intake.begin(reception)
    try:
        incoming.write(dataset)
        incoming.keep()
    except BaseException:
        incoming.abandon()
        raise


def half_written(folder: Path) -> list[str]:
    """The names of what is not whole, or not flushed, in the spool below `folder`; signs of life do not count."""
    return sorted(path.name for path in (folder / "coming").iterdir() if path.suffix != _LIFE)
