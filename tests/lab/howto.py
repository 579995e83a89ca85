"""A page of docs/howto, as somebody reads it: its commands and its pieces of configuration."""

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

_FOLDER = Path(__file__).parents[2] / "docs" / "howto"
_BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


class HowTo:
    """A how-to, as somebody reads it."""

    def __init__(self, name: str) -> None:
        self.text = (_FOLDER / name).read_text(encoding="utf-8")

    def commands(self, heading: str = "") -> list[str]:
        """The commands of a part, in order, without the remarks behind them."""
        text = self.text if not heading else self.text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
        blocks = [block for language, block in _BLOCK.findall(text) if language in ("", "sh", "console")]
        found = [re.split(r"\s+#\s", line)[0].strip() for block in blocks for line in block.splitlines() if line.strip()]
        assert found, "the page has commands"
        return found

    def blocks(self, kind: str) -> list[str]:
        """What stands in blocks of a kind (yaml, json), in order."""
        return [block for language, block in _BLOCK.findall(self.text) if language == kind]

    def inline(self, begins: str) -> Any:
        """A piece of configuration inside a sentence."""
        (found,) = re.findall(rf"`({re.escape(begins)}: \{{.*?\}})`", self.text)
        return YAML(typ="safe").load(found)[begins]
