"""What YAML's parser says of a mistake, in words for whoever wrote the file: what it most likely is, and in which line it began."""

import re
from collections.abc import Sequence
from typing import Final

from ruamel.yaml.error import MarkedYAMLError

_INDENTED: Final = "this line is indented otherwise than the entries beside it"
_QUOTES: Final = 'a value that begins with "FOUND" needs quotes'
_MISTAKES: Final[Sequence[tuple[str, str, str]]] = (
    # what the parser was doing, its problem, and the words: FOUND is what the group found, BEGAN the line in which it began
    ("", r"found character '\\t' that cannot start any token", "a tab: YAML is indented with blanks alone"),
    ("", r"found character '(.)' that cannot start any token", _QUOTES),
    ("", r"found undefined alias '(.*)'", _QUOTES.replace("FOUND", "*")),
    ("alias", r"expected alphabetic or numeric character.*", _QUOTES.replace("FOUND", "*")),
    ("anchor", r"expected alphabetic or numeric character.*", _QUOTES.replace("FOUND", "&")),
    (
        "",
        r"mapping values are not allowed here",
        "a colon where no key can stand: the line is indented otherwise than the one above, or a value holds `: ` and needs quotes",
    ),
    ("flow mapping", r"expected ',' or '}', but got .*", "the { of line BEGAN is not closed with }, or a comma is missing before this"),
    ("flow sequence", r"expected ',' or '\]', but got .*", "the [ of line BEGAN is not closed with ], or a comma is missing before this"),
    ("quoted", r"found unexpected end of stream", "the quotation mark of line BEGAN is not closed"),
    ("quoted", r"found unknown escape character '(.)'", "in double quotes \\FOUND means something to YAML: take single quotes"),
    ("block", r"expected <block end>, but found '([]}])'", "a FOUND that closes nothing"),
    ("block", r"expected the node content, but found '([]}])'", "a FOUND that closes nothing"),
    ("block", r"expected <block end>, but found '<scalar>'", "a quotation mark inside quotes: write it twice, or take the other kind"),
    ("block", r"expected <block end>, but found .*", _INDENTED),
    ("simple key", r"could not find expected ':'", "line BEGAN is neither `key: value` nor a list's `- value`"),
    (
        "block scalar",
        r"expected .*, but found '(.)'",
        "text behind | or > begins in the line below; a value that begins with one of them needs quotes",
    ),
    ("single document", r"but found another document", "a second document begins here (`---`): one file is one configuration"),
)


def in_words(broken: MarkedYAMLError) -> str:
    """The mistake in words; what the table does not know, as the parser says it, without what it was doing then."""
    problem = str(broken.problem or "not YAML")
    mark = broken.context_mark or broken.problem_mark
    for context, said, words in _MISTAKES:
        if context in str(broken.context or "") and (found := re.fullmatch(said, problem, re.DOTALL)):
            words = words.replace("BEGAN", str(mark.line + 1 if mark else 1))
            return words.replace("FOUND", found[1]) if found.groups() else words
    return problem
