"""axe-core, the accessibility checker, from the npm package of that name; it is fetched once into `.peers/` of the repository."""

from tests.lab.cache import alone_in
from tests.lab.npm import unpacked

VERSION = "4.11.0"


def script() -> str:
    """What a page is given to check itself with."""
    with alone_in(f"axe-core-{VERSION}") as folder:
        kept = folder / "axe.min.js"
        if not kept.exists():
            with unpacked(f"axe-core@{VERSION}", folder) as package:
                (package / "axe.min.js").rename(kept)
        return kept.read_text(encoding="utf-8")
