"""axe-core, the accessibility checker, from the npm package of that name; it is fetched once into `.peers/` of the repository."""

import subprocess
import tarfile
import tempfile
from pathlib import Path

from tests.lab.cache import alone_in
from tests.lab.loopback import outside
from tests.lab.needs import absent, program

VERSION = "4.11.0"


def script() -> str:
    """What a page is given to check itself with."""
    with alone_in(f"axe-core-{VERSION}") as folder:
        kept = folder / "axe.min.js"
        if not kept.exists():
            npm = program("npm", "npm")
            with outside(), tempfile.TemporaryDirectory(dir=folder) as scratch:
                command = [str(npm), "pack", "--silent", f"axe-core@{VERSION}"]
                packed = subprocess.run(command, cwd=scratch, capture_output=True, timeout=300, check=False)
                if packed.returncode:
                    absent(f"axe-core@{VERSION}", f"npm pack: {packed.stderr.decode(errors='replace')[-500:]}")
                (tarball,) = Path(scratch).glob("*.tgz")
                with tarfile.open(tarball) as archive:
                    archive.extractall(scratch, filter="data")
                (Path(scratch) / "package" / "axe.min.js").rename(kept)
        return kept.read_text(encoding="utf-8")
