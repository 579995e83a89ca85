"""A page of docs/howto, as somebody reads it: its commands and its pieces of configuration.

A block that no test runs has the reason before it on the page, in a comment: `<!-- not run by a test: it asks the publisher -->`. A test
takes note of what it runs (`typed`), and asks at its end whether that was all (`followed`).
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

FOLDER = Path(__file__).parents[2] / "docs" / "howto"
_COMMENT = r"(?:^ *<!-- not run by a test: (?P<reason>[^\n]+?) -->\n\n?)?"
_BLOCK = re.compile(_COMMENT + r"^ *```(?P<kind>\w*)\n(?P<text>.*?)^ *```$", re.DOTALL | re.MULTILINE)
_SHELL = ("", "console", "sh")
_PROGRAMS = (
    "hilum /opt/hilum\\S* torchrun cp export mkdir editor runuser apt systemctl docker tritonserver openssl echoscu \\(umask python3 curl"
    " grep echo podman"
)
_COMMAND = re.compile(rf"(?:\$ )?(?:{_PROGRAMS.replace(' ', '|')}) ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of a page; `reason` is why no test runs it, as the page says."""

    kind: str
    text: str
    reason: str

    @property
    def commands(self) -> list[str]:
        """What is typed, in order, without the remarks behind it and what is printed; empty of a block that is no shell's."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()] if self.kind in _SHELL else []
        if not any(map(_COMMAND.match, lines)):
            return []
        prompted = any(line.startswith("$ ") for line in lines)
        return [re.split(r"\s+#\s", line.removeprefix("$ "))[0] for line in lines if line.startswith("$ ") or not prompted]


class HowTo:
    """A how-to, as somebody reads it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = (FOLDER / name).read_text(encoding="utf-8")
        self._typed = set[str]()

    def all_blocks(self, heading: str = "") -> list[Block]:
        """The blocks of a part, in order; what stands before the first part has the page's title for a heading."""
        text = self.text if not heading else self.text.partition(f"# {heading}\n")[2].partition("\n## ")[0]
        return [Block(kind=each["kind"], text=each["text"], reason=each["reason"] or "") for each in _BLOCK.finditer(text)]

    def commands(self, heading: str = "") -> list[str]:
        """The commands of a part that are run, in order, without the remarks behind them."""
        found = [command for block in self.all_blocks(heading) if not block.reason for command in block.commands]
        assert found, "the page has commands"
        return found

    def typed(self, text: str) -> str:
        """Give back a command of the page, or a whole block, that is run now as it stands, and take note of it."""
        blocks = self.all_blocks()
        known = [command for block in blocks for command in block.commands if text in (command, block.text)]
        assert known, f"{self.name} has no command {text!r}"
        self._typed.update(known)
        return text

    def followed(self, heading: str = "") -> None:
        """AssertionError: a command of the page, or of a part, was not run, and the page has no reason for it."""
        left = [one for block in self.all_blocks(heading) if not block.reason for one in block.commands if one not in self._typed]
        assert not left, f"nobody ran these commands of {self.name}: {left}"

    def shell(self, heading: str = "") -> list[str]:
        """The blocks of a part that a shell runs as they stand, in order."""
        return [block.text for block in self.all_blocks(heading) if block.kind == "sh" and not block.reason]

    def printed(self, heading: str) -> list[str]:
        """What a part says that is printed, line by line: its blocks without a language and without a command."""
        blocks = [block.text for block in self.all_blocks(heading) if not (block.kind or block.commands)]
        return [line for text in blocks for line in text.splitlines() if line]

    def blocks(self, kind: str) -> list[str]:
        """What stands in blocks of a kind (yaml, json), in order."""
        return [block.text for block in self.all_blocks() if block.kind == kind]

    def inline(self, begins: str) -> Any:
        """A piece of configuration inside a sentence."""
        (found,) = re.findall(rf"`({re.escape(begins)}: \{{.*?\}})`", self.text)
        return YAML(typ="safe").load(found)[begins]
