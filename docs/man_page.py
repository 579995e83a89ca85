"""The manual page hilum(1), in roff (man macros), from the page that docs.generate makes of the command."""

import re
from collections.abc import Iterable, Iterator

from node.cli.main import EPILOGUE, SUMMARY

_HEADING = re.compile(r"^(#{2,4}) (hilum .*)$")
_ITEM = re.compile(r"^\* `([^`]+)`(?:: (.*))?$")
_PART = re.compile(r"^\*\*(Arguments|Parameters)\*\*:$")
_GROUP = re.compile(r"^\*\*(.+)\*\*:$")
_CODE = re.compile(r"(`[^`]+`)")
_NOTE = re.compile(r"\*\*?(\[[^]]*\])\*\*?")

_FILES = (
    ("./hilum.yaml, /etc/hilum/hilum.yaml", "The configuration, where --config and HILUM_CONFIG name none; `hilum init` writes one."),
    ("var/", "The journal, images and results, as `store:` of the configuration says; of the node's user alone."),
)
_VARIABLES = (
    ("HILUM_CONFIG", "The configuration, where --config names none."),
    ("COLUMNS", "How wide tables are; into a pipe nothing is wrapped."),
    ("NO_COLOR", "No colours, whatever its value. Into a pipe there are none."),
)


def page(commands: str) -> str:
    """The manual page, from the reference's page of the command in Markdown."""
    _, _, verbs = commands.partition("\n## hilum ")
    lines = [
        '.TH HILUM 1 "" "hilum" "User Commands"',
        ".SH NAME",
        rf"hilum \- {_plain(SUMMARY)}",
        ".SH SYNOPSIS",
        r".B hilum",
        r".I VERB",
        r"[\fIOPTIONS\fR]",
        ".SH DESCRIPTION",
        *_text(SUMMARY),
        ".PP",
        *_text(EPILOGUE),
        ".SH VERBS",
        *_verbs(f"## hilum {verbs}"),
        ".SH FILES",
        *_terms(_FILES),
        ".SH ENVIRONMENT",
        *_terms(_VARIABLES),
        ".SH EXIT STATUS",
        *_text("0: good. 1: bad. 2: the words after `hilum` are not what the verb takes. 130: ended by ^C."),
    ]
    return "\n".join(lines) + "\n"


def _verbs(markdown: str) -> Iterator[str]:
    in_code, fresh = False, True
    for line in markdown.splitlines():
        if line.startswith("```"):
            in_code = not in_code
        elif in_code:
            continue  # the usage says no more than the heading and what follows
        elif heading := _HEADING.match(line):
            yield f'.SS "{_plain(heading[2])}"'
            fresh = True
        elif item := _ITEM.match(line):
            yield from _terms([(item[1], item[2] or "")])
            fresh = False
        elif part := _PART.match(line):
            yield from (".PP", rf"\fI{part[1]}\fR")
            fresh = False
        elif group := _GROUP.match(line):
            yield from (".PP", rf"\fI{group[1]}\fR")
        elif not line:
            if not fresh:
                yield ".PP"
            fresh = True
        else:
            yield from _text(line.strip())
            fresh = False


def _terms(terms: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, says in terms:
        yield from (".TP", rf"\fB{_plain(term)}\fR", *_text(says))


def _text(sentence: str) -> Iterator[str]:
    """A line of running text: code bold, notes in brackets plain."""
    said = _NOTE.sub(r"\1", sentence)
    parts = [rf"\fB{_plain(part[1:-1])}\fR" if _CODE.fullmatch(part) else _plain(part) for part in _CODE.split(said)]
    line = "".join(parts)
    # a full stop or a quote at the beginning would be a request
    yield rf"\&{line}" if line[:1] in (".", "'") else line


def _plain(text: str) -> str:
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq").replace("^", r"\(ha").replace("~", r"\(ti")
    return "".join(one if one.isascii() else rf"\[u{ord(one):04X}]" for one in escaped)
