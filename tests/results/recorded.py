"""The bytes of every kind of result object, as digests in recorded.txt: what moves code alone leaves them as they are.

`python -m tests.results.recorded` writes the file anew; its difference then says which objects changed.
"""

import hashlib
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.results import identity, part10
from tests.results.kinds import ROWS, Encodings

FILE = Path(__file__).with_name("recorded.txt")


@contextmanager
def pinned() -> Iterator[None]:
    """Objects that are made meanwhile have one version of hilum and one Series Number.

    An object's own UIDs follow from its bytes, and with them from the Series Number: only where that is pinned can anything be compared.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(identity, "RELEASE", "0.0.0")
        patched.setattr(part10, "IMPLEMENTATION_VERSION", "HILUM_0.0.0")
        patched.setattr(identity, "series_number", lambda *_: 1)
        yield


def lines(encodings: Encodings) -> list[str]:
    """Case, kind, form, label and SHA-256 of each object of the matrix; those not made yet have to be made while `pinned`."""
    return [
        " ".join((case.__name__, one.kind, one.form or "-", one.label.replace(" ", "_") or "-", hashlib.sha256(one.data).hexdigest()))
        for case in dict.fromkeys(row.case for row in ROWS)
        for one in encodings.of(case).objects
    ]


def main() -> int:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder, pinned():
        FILE.write_text("\n".join(lines(Encodings(Path(folder)))) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
