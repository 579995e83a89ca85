"""Models that are programs: made here from honest ones, each of them runs what its name says when a library loads or calls it.

Nothing of them is kept as a file of the repository: what they do stands in this text.
"""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

IMAGE = (1, 1, 8, 8)


class Honest(nn.Module):
    """Doubles."""

    def forward(self, image: Tensor) -> Tensor:
        return image * 2.0


class Writes(nn.Module):
    """Writes a file of its author's choice, each time it is called."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, image: Tensor) -> Tensor:
        torch.save(image, self.path)
        return image * 2.0


class Reads(nn.Module):
    """Gives the bytes of a file as its result."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, image: Tensor) -> Tensor:
        found = torch.from_file(self.path, False, 64, dtype=torch.uint8)
        return image * 2.0 + found.float().mean()


# torch.jit compiles the text of a method, where a comment for the type checker would be a type
_fork: Any = torch.jit.fork
_wait: Any = torch.jit.wait


def _later(image: Tensor) -> Tensor:
    return image * 2.0


class Forks(nn.Module):
    """Starts a task beside the call."""

    def forward(self, image: Tensor) -> Tensor:
        later: Tensor = _wait(_fork(_later, image))
        return later


class Twice(nn.Module):
    """Keeps a state that a method of its own restores, as a model may that writes when it is loaded."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, image: Tensor) -> Tensor:
        return image * 2.0

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return (self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        torch.save(torch.ones(1), self.path)


def scripted(module: nn.Module) -> bytes:
    """A module as TorchScript."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module.eval()), buffer)
    return buffer.getvalue()


def exported(module: nn.Module | None = None) -> bytes:
    """A module as torch.export."""
    buffer = io.BytesIO()
    shapes = ({0: torch.export.Dim("batch", min=1, max=4), 2: torch.export.Dim.AUTO},)
    torch.export.save(torch.export.export((module or Honest()).eval(), (torch.zeros(2, 1, 8, 8),), dynamic_shapes=shapes), buffer)
    return buffer.getvalue()


def with_member(content: bytes, ending: str, change: Callable[[bytes], bytes]) -> bytes:
    """An archive of torch's in which one member is another; stored, as torch stores it."""
    made, found = io.BytesIO(), 0
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(made, "w") as after:
        for name in before.namelist():
            text = before.read(name)
            if name.endswith(ending):
                found += 1
                text = change(text)
            after.writestr(name, text)
    assert found == 1, f"{found} members end in {ending}"
    return made.getvalue()


def with_code(text: str) -> bytes:
    """The honest TorchScript file, whose code is this instead."""
    return with_member(scripted(Honest()), ".py", lambda _: text.encode())


def with_program(change: Callable[[dict[str, Any]], None]) -> bytes:
    """The honest torch.export file, whose program was changed by hand."""

    def changed(text: bytes) -> bytes:
        program = json.loads(text)
        change(program)
        return json.dumps(program).encode()

    return with_member(exported(), "models/model.json", changed)


def with_members(content: bytes, *more: tuple[str, bytes]) -> bytes:
    """An archive with further members in the folder of the others."""
    made = io.BytesIO(content)
    with zipfile.ZipFile(made, "a") as archive:
        root = archive.namelist()[0].split("/")[0]
        for name, text in more:
            archive.writestr(f"{root}/{name}", text)
    return made.getvalue()


class Malice:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.mark, "was run")


def malicious_pickle(mark: Path) -> bytes:
    """A pickle that writes a file."""
    return pickle.dumps(Malice(mark), protocol=2)


def two_directories(content: bytes, other: bytes) -> bytes:
    """Two archives in one file, one behind the other: a reader takes the first or the second."""
    return content + other


def renamed_end(content: bytes, name: bytes, other: bytes) -> bytes:
    """An archive whose central directory calls a member otherwise than the member's own header does."""
    place = content.rfind(name)
    return content[:place] + other + content[place + len(name) :]


def bomb(mebibytes: int) -> bytes:
    """A TorchScript file of a few kilobytes, one member of which becomes many mebibytes."""
    made = io.BytesIO(scripted(Honest()))
    with zipfile.ZipFile(made, "a", zipfile.ZIP_DEFLATED) as archive:
        root = archive.namelist()[0].split("/")[0]
        archive.writestr(f"{root}/extra/zeros", bytes(mebibytes << 20))
    return made.getvalue()


def lying_size(content: bytes, claimed: int) -> bytes:
    """An archive whose last member claims another size than it has."""
    place = content.rfind(b"PK\1\2") + 24
    return content[:place] + struct.pack("<I", claimed) + content[place + 4 :]
