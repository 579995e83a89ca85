"""Where the command `hilum` starts: it looks whether its three packages are this distribution's before it imports any of them.

`node`, `inference` and `training` are names that other distributions may bear too, or folders on PYTHONPATH.
"""

import base64
import csv
import hashlib
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

PACKAGES = ("inference", "node", "training")
_HERE = Path(__file__).resolve().parent


def foreign_package() -> str:
    """What is wrong with the packages, in a sentence; "" where each of them is this distribution's."""
    sums = _recorded()
    for name in PACKAGES:
        own = _HERE / name / "__init__.py"
        spec = find_spec(name)
        found = None if spec is None else spec.origin or next(iter(spec.submodule_search_locations or ()), None)
        if found is None:
            return f"hilum's package `{name}` is not there: {own.parent}"
        if Path(found).resolve() != own:
            return f"`{name}` is {found}, not hilum's own package {own.parent}"
        if (recorded := sums.get(f"{name}/__init__.py")) and recorded != _sum(own):
            return f"{own} is not the file that was installed with hilum: another distribution has a package `{name}` too and wrote over it"
    return ""


def _recorded() -> dict[str, str]:
    """SHA-256 of each package's first file as the installer wrote it down; nothing for a checkout that is installed as it stands."""
    try:
        record = metadata.distribution("hilum").read_text("RECORD") or ""
    except metadata.PackageNotFoundError:
        return {}
    wanted = {f"{name}/__init__.py" for name in PACKAGES}
    return {row[0]: row[1].removeprefix("sha256=") for row in csv.reader(record.splitlines()) if row and row[0] in wanted}


def _sum(file: Path) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=").decode()


def _import_from_here() -> None:
    """Have the packages' names mean this distribution's files, whatever stands first on the path."""
    for name in PACKAGES:
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__path__ = [str(_HERE / name)]


def main() -> int:
    """Run the command; refuse to where a package of it is another's."""
    if wrong := foreign_package():
        _import_from_here()
        from node.cli.ending import ForeignPackage, say
        from node.cli.main import BAD

        say(ForeignPackage(wrong), as_json="--json" in sys.argv)
        return BAD
    from node.cli.main import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
