"""Packages of the npm registry, unpacked."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.loopback import outside
from tests.lab.needs import absent, program


@contextmanager
def unpacked(package: str, beside: Path) -> Iterator[Path]:
    """The files of a package (`axe-core@4.11.0`) in a folder that is gone afterwards; in `beside`, so that they can be moved there."""
    npm = program("npm", "npm")
    with outside(), tempfile.TemporaryDirectory(dir=beside) as scratch:
        packed = subprocess.run([str(npm), "pack", "--silent", package], cwd=scratch, capture_output=True, timeout=300, check=False)
        if packed.returncode:
            absent(package, f"npm pack: {packed.stderr.decode(errors='replace')[-500:]}")
        (tarball,) = Path(scratch).glob("*.tgz")
        # tarfile's own filter came with Python 3.11.4; tar leaves nothing outside of the folder either
        subprocess.run(["tar", "--extract", "--file", str(tarball), "--directory", scratch], timeout=300, check=True)
        yield Path(scratch) / "package"
