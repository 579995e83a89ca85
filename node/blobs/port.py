"""The blobs port: bytes under opaque names, durable once written; and the errors of every store that keeps them."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from node.domain.errors import JournalError


class BlobsFailed(JournalError):
    """The folder of the blobs cannot be written."""

    code = "HLM-7051"


class BlobsGone(JournalError):
    """The folder of the blobs was deleted or replaced under the node, or its file system is not mounted any more."""

    code = "HLM-7063"
    remedy = (
        "Mount or move back what belongs there: work goes on by itself then. Senders are refused meanwhile and keep their instances. "
        "Else stop the node and restore the last backup."
    )


class BlobDiffers(JournalError):
    """Other bytes already lie under the name of a blob."""

    code = "HLM-7050"
    remedy = "Report this as a defect of hilum, with the name of the blob: names are made from what they hold."
    retry = False


class BlobDamaged(JournalError):
    """What was fetched is not what was put: the digest that was kept with the blob differs."""

    code = "HLM-7054"
    remedy = "Fetch it again; should that go on, the object store or the way to it damages data."
    retry = True


class Blobs(Protocol):
    """Contract (tests/contract/test_blobs.py).

    A name is a relative POSIX path made by hilum, never by a sender. `put` is atomic and durable: after it returns, a power loss
    leaves either all of the bytes or, before it, nothing under that name; equal bytes under the same name are accepted (and count as
    written now), other bytes raise `JournalError`. `path` gives a readable local file, which does not exist where the blob does not;
    it stays readable until the `hold` around it ends, or for a minute where there is none. `delete` of an absent name is no error.
    Where the blobs are away every call raises a `JournalError` that asks for a retry: nothing is ever taken for absent because of that.
    """

    def put(self, name: str, data: bytes | memoryview) -> None: ...

    def path(self, name: str) -> Path: ...

    def paths(self, names: Sequence[str]) -> list[Path]:
        """`path` of each; what has to be fetched is fetched several at once."""
        ...

    def has(self, name: str) -> bool:
        """Whether the blob is there; fetches nothing."""
        ...

    def hold(self) -> AbstractContextManager[None]:
        """Whatever this thread asks a `path` of inside the block stays readable until its end."""
        ...

    def flush(self, names: Iterable[str]) -> None:
        """Have these on the disk when it returns, however they came there; what is not there is passed over."""
        ...

    def delete(self, name: str) -> None: ...

    def names(self, prefix: str = "", *, written_before: datetime | None = None) -> Iterator[str]:
        """The names that begin with `prefix`, in no order; with `written_before` only what was last put before then."""
        ...

    def used_share(self) -> float:
        """How full the place is, 0 to 1; 0 where nobody can say."""
        ...

    def sweep(self) -> int:
        """Drop local copies of blobs that were deleted elsewhere; how many."""
        ...


class SharedBlobs(Blobs, Protocol):
    """Blobs that other hosts read too; an instance that was received on one host gets into them by `upload`."""

    def upload(self, name: str, data: bytes | memoryview) -> None:
        """`put`, without keeping a copy."""
        ...

    def keep_copy(self, file: Path, name: str) -> None:
        """Keep a file of what was uploaded as this host's copy, where there is use for one. OSError when it cannot be."""
        ...
