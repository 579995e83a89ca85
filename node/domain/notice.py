"""Notices: tell people what waits for them, in words that name no patient."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class About(StrEnum):
    """What a notice is about."""

    PARKED = "parked"
    SINK = "sink"
    DISK = "disk"
    HELD = "held"
    PROCESS = "process"
    TRIAL = "trial"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing: what it is, what to do about it, and where it is looked up (`job` 0: no job). `over`: it was, and is no more."""

    about: About
    says: str
    remedy: str = ""
    code: str = ""
    job: int = 0
    over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message. `node` is who says so, `link` where to look (a page of the console), `more` how many things it leaves out."""

    node: str
    at: datetime
    items: tuple[Item, ...]
    more: int = 0
    link: str = ""

    @property
    def subject(self) -> str:
        """One line."""
        counts = {about: sum(1 for one in self.items if one.about is about and not one.over) for about in About}
        counts[About.PARKED] += self.more
        parts = [
            _NAMED[about].format(many, "" if many == 1 else "es" if about is About.PROCESS else "s")
            for about, many in counts.items()
            if many
        ]
        over = sum(1 for one in self.items if one.over)
        if over:
            parts.append(f"{over} thing{'' if over == 1 else 's'} mended")
        return f"{self.node}: {', '.join(parts)}"

    @property
    def text(self) -> str:
        """The whole message as plain text."""
        lines = [f"{self.node}, {self.at:%Y-%m-%d %H:%M} UTC", ""]
        for one in self.items:
            lines += [f"- {one.says}", *([f"  {one.remedy}"] if one.remedy else [])]
        if self.more:
            lines.append(f"- and {self.more} more")
        return "\n".join([*lines, *(["", self.link] if self.link else []), ""])


_NAMED = {
    About.PARKED: "{} parked",
    About.SINK: "{} sink{} late",
    About.DISK: "the store fills or is away",
    About.HELD: "images held",
    About.PROCESS: "{} process{} silent",
    About.TRIAL: "a trial message",
}
