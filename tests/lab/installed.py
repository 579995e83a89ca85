"""hilum as an operator has it: a wheel built of the sdist, installed into an environment of its own, far from the checkout.

What the wheel asks for comes from the environment of the tests, distribution by distribution, and nothing else is there: what is missing in
its requirements is missing in the environment, and no registry is asked.
"""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def copied(folder: Path, version: str = "") -> Path:
    """A copy of the working tree, in which nobody else builds; `version` makes another version of it."""
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, symlinks=True, ignore=shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist", "var"))
    for name in (".ci", ".dockerignore"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tree / name)
    if version:
        project = tree / "pyproject.toml"
        project.write_text(re.sub('(?m)^version = ".*"$', f'version = "{version}"', project.read_text()))
    return tree


def wheel(folder: Path, version: str = "") -> Path:
    """Build the sdist of a copy of the working tree, and the wheel of that sdist; `version` makes one."""
    tree = copied(folder, version)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(tree)]
    built = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    (made,) = folder.glob("*.whl")
    return made


def next_wheel(built: Path, folder: Path, version: str) -> Path:
    """The wheel as a made next version of it, which lies in `folder`."""
    folder.mkdir(parents=True)
    distribution, old, tags = built.name.split("-", 2)
    made = folder / f"{distribution}-{version}-{tags}"
    inside, now = f"{distribution}-{old}.", f"{distribution}-{version}."
    with zipfile.ZipFile(built) as packed, zipfile.ZipFile(made, "w") as written:
        for one in packed.infolist():
            held, name = packed.read(one), one.filename
            if name.startswith(inside):
                name = now + name.removeprefix(inside)
            if name == f"{now}dist-info/METADATA":
                held = re.sub(rb"(?m)^Version: .*$", f"Version: {version}".encode(), held, count=1)
            elif name == f"{now}dist-info/RECORD":
                held = _recorded(held.decode(), inside, now)
            written.writestr(name, held)
    return made


def _recorded(record: str, inside: str, now: str) -> bytes:
    """The list of a wheel's files, each under its name of the next version; of what was changed neither sum nor size is told."""
    lines = [now + line.removeprefix(inside) if line.startswith(inside) else line for line in record.splitlines()]
    told = [re.sub("^(.*/METADATA),.*$", r"\1,,", line) if line.startswith(now) else line for line in lines]
    return "".join(f"{line}\n" for line in told).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """An environment with hilum in it, and what runs its programs: in a home of their own, without the variables of the tests."""

    folder: Path
    home: Path

    @property
    def site(self) -> Path:
        """Where its distributions lie."""
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found

    def run(
        self, *words: object, cwd: Path | None = None, variables: Mapping[str, str] | None = None, timeout_s: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment to its end."""
        program, *arguments = map(str, words)
        return subprocess.run(
            [str(self.folder / "bin" / program), *arguments],
            cwd=cwd or self.home,
            env=self._variables() | dict(variables or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )

    def _variables(self) -> dict[str, str]:
        # how packages are reached here is the machine's affair
        kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or "proxy" in name.lower()}
        return {**kept, "HOME": str(self.home), "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "LANG": "C.UTF-8"}


def install(made: Path, folder: Path, extras: Sequence[str] = ()) -> Environment:
    """A fresh environment with the wheel, and with what it and these extras require."""
    venv.create(folder / "hilum", with_pip=False, symlinks=True)
    (folder / "home").mkdir()
    there = Environment(folder=folder / "hilum", home=folder / "home")
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(there.folder / "bin" / "python"),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        # what is started compiles what it imports
        "--no-compile",
    ]
    installed = subprocess.run([*command, str(made)], capture_output=True, text=True, check=False, timeout=120)
    assert installed.returncode == 0, installed.stderr
    for each in required(importlib.metadata.Distribution.at(next(there.site.glob("hilum-*.dist-info"))), extras):
        for name in {file.parts[0] for file in each.files or () if file.parts[0] not in ("..", "__pycache__")}:
            whole, put = Path(str(each.locate_file(name))), there.site / name
            if whole.is_dir():
                shutil.copytree(whole, put, copy_function=placed, dirs_exist_ok=True)
            elif not put.exists():
                placed(str(whole), str(put))
    return there


def placed(file: str, to: str) -> None:
    """The file itself under another name, where both are of one file system: a confined process follows no link elsewhere."""
    if not os.path.exists(to):
        try:
            os.link(file, to)
        except OSError:
            shutil.copy2(file, to)


def required(distribution: importlib.metadata.Distribution, extras: Sequence[str]) -> Iterator[importlib.metadata.Distribution]:
    """The distributions that one needs with these extras, and those that they need, as they are in the environment of the tests; and pip,
    which an environment has anyway."""
    ahead = [("pip", "")]
    ahead += [(one.name, extra) for one in _direct(distribution, extras) for extra in ("", *one.extras)]
    seen: set[tuple[str, str]] = set()
    told: set[str] = set()
    while ahead:
        name, extra = ahead.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        found = importlib.metadata.distribution(name)
        ahead += [(one.name, each) for one in _direct(found, (extra,)) for each in ("", *one.extras)]
        if found.name not in told:
            told.add(found.name)
            yield found


def _direct(distribution: importlib.metadata.Distribution, extras: Sequence[str]) -> list[Requirement]:
    requirements = [Requirement(text) for text in distribution.requires or ()]
    return [one for one in requirements if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras))]


def crop(folder: Path) -> list[Path]:
    """A series that the hippocampus application takes: a blob where one might be; another patient in each folder."""
    from inference.imaging.write_series import write_series

    z, y, x = np.ogrid[:35, :51, :35]
    voxels = (400 * np.exp(-(((z - 17) / 6) ** 2 + ((y - 25) / 14) ** 2 + ((x - 17) / 6) ** 2)) + 100).astype(np.int16)
    affine = np.array([[0.0, 0, 1, -17], [0, 1, 0, -25], [1, 0, 0, -17], [0, 0, 0, 1]])
    extra = {"BodyPartExamined": "HEAD", "ProtocolName": "T1 3D"}
    return write_series(voxels, affine, folder, modality="MR", extra=extra, series_description="T1 3D", patient_id=folder.name)


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(os.lstat(Path(root) / name).st_size for root, _, names in os.walk(folder) for name in names)
