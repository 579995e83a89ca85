"""Regular expressions of routes: as Python's engine finds them where both know them, and in linear time where that does not end."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from node.settings.questions import SEARCHED, Pattern, Unfit

ROOT = Path(__file__).parents[3]
RUNS_AWAY = [
    "(?i).*t1.*mpr.*sag.*post",
    "(a+)+b",
    "(a|a)*b",
    "(a|ab|b)*c",
    "(.*a){12}c",
    ".*" * 24 + "!",
    "(?:x|y+)*z",
    r"(\w+\s?)*$!",
]
"""What keeps an engine that goes back busy: repetitions inside of repetitions, alternatives that begin alike, polynomials."""


def _shipped() -> Iterator[str]:
    """Every pattern of the configurations and pages that are shipped."""
    for path in sorted((ROOT / "config").rglob("*.yaml")):
        yield from _patterns(YAML(typ="safe").load(path))
    for path in (*(ROOT / "docs" / "howto").glob("*.md"), *(ROOT / "config").rglob("*.yaml")):
        yield from re.findall(r'matches: "([^"]+)"', path.read_text())


def _patterns(found: object) -> Iterator[str]:
    if isinstance(found, dict):
        for key, value in found.items():
            yield from [value] if key == "matches" else _patterns(value)
    elif isinstance(found, list):
        for value in found:
            yield from _patterns(value)


SHIPPED = sorted(set(_shipped()))
TRIED = [
    *SHIPPED,
    "^T1.*SAG.*$",
    "(T1|T2)+",
    "(a{3})+b",
    "a+b+c*",
    "[+*]+",
    "([0-9]{4}-)*x",
    "^$",
    "a|b",
    "portal ?|venous+",
    "MPRAGE sag$",
    "é",
]
WORDS = [*"aAbcxT12 -_+*.^$é☃\t\n", "T1", "t2", "MPRAGE", "mprage", "FLAIR", "Bravo", "portal", "venous", "SAG", "2024-", "ſ", "K"]


def test_there_are_shipped_patterns() -> None:
    """What the comparison below stands on."""
    assert "(?i)t1|mprage|bravo|spgr" in SHIPPED


@given(st.sampled_from(TRIED), st.one_of(st.lists(st.sampled_from(WORDS), max_size=30).map("".join), st.text(max_size=80)))
@example("a|b", "\ud800a")
@settings(max_examples=1500, deadline=None)
def test_it_finds_what_pythons_engine_finds(pattern: str, value: str) -> None:
    """In values of any characters, line breaks at the end aside (`$` is the very end here) and the dotted and dotless i of Turkish, which
    Python takes for an i where case is ignored."""
    value = value.rstrip("\n").replace("İ", "").replace("ı", "")
    assert Pattern(pattern).found_in(value) == (re.search(pattern, value) is not None)


def test_where_the_engines_differ() -> None:
    """As docs/reference/configuration.md says: letters beyond ASCII, the end, the i of Turkish."""
    assert (Pattern(r"^\w$").found_in("é"), re.search(r"^\w$", "é") is None) == (False, False)
    assert (Pattern("a$").found_in("a\n"), re.search("a$", "a\n") is None) == (False, False)
    assert (Pattern("(?i)i").found_in("ı"), re.search("(?i)i", "ı") is None) == (False, False)
    assert Pattern("(?i)RÖNTGEN").found_in("röntgen")


@pytest.mark.parametrize("pattern", RUNS_AWAY)
@pytest.mark.parametrize("value", ["a" * 1020, "t1 mpr sag " * 93, "T1 mpr sag pos" * 80, "xyxy " * 300, "ab" * 2000])
def test_none_runs_away(pattern: str, value: str) -> None:
    """Values beyond what their VR may hold: found or not, at once."""
    began = time.thread_time()
    Pattern(pattern).found_in(value)
    assert time.thread_time() - began < 0.5


def test_only_the_beginning_of_a_value_is_searched() -> None:
    """Characters are counted, not bytes."""
    assert Pattern("x").found_in("é" * (SEARCHED - 1) + "x")
    assert not Pattern("x").found_in("é" * SEARCHED + "x")


@pytest.mark.parametrize(
    ("pattern", "is_what", "instead"),
    [
        ("T1(?=.*MPR)", "a look-around at character 3", "not: {matches: …}"),
        ("(?!LOCALIZER)", "a look-around at character 1", "not: {matches: …}"),
        ("(?<=T1)x", "a look-around at character 1", "not: {matches: …}"),
        ("(?<!T1)x", "a look-around at character 1", "not: {matches: …}"),
        (r"([ab])\1", "a back-reference at character 7", "write the alternatives out"),
        (r"(?P<a>x|y)(?P=a)", "a back-reference at character 11", "write the alternatives out"),
        ("(a)?(?(1)b|c)", "a conditional group at character 5", "write both cases out"),
        ("(a++)+b", "a possessive repetition at character 3", "leave the second `+` out"),
        ("a{1,3}+b", "a possessive repetition at character 2", "leave the second `+` out"),
        ("(?>a+)b", "an atomic group at character 1", "write `(?:`"),
        (r"T1\Z", r"\Z at character 3", r"write `\z`"),
        ("a{,3}", "a count without its lower bound at character 2", "write `{0,`"),
        ("(?x) t1 # weighted", "a flag that is not i, m or s at character 1", "leave it out"),
        ("(?#why)t1", "a comment at character 1", "leave it out"),
        (r"\u00e9", "a character by its number at character 1", r"\x{…}"),
        ("a{1001}", "more than a regular expression can hold", "counts go to 1,000"),
        ("(a{100}){100}", "more than a regular expression can hold", "counts go to 1,000"),
        ("a{99999999999}", "more than a regular expression can hold at character 2", "counts go to 1,000"),
        ("portal|(venous", "missing ) at character 8", "portal"),
        ("*a", "no argument for repetition operator at character 1", "*a"),
        ("a\ud800", "half a character (a surrogate) at character 2", ""),
    ],
)
def test_what_it_cannot_take_is_told_with_its_place_and_what_to_write(pattern: str, is_what: str, instead: str) -> None:
    with pytest.raises(Unfit) as refused:
        Pattern(pattern)
    said = str(refused.value)
    assert said.startswith(is_what)
    assert instead in said


@pytest.mark.parametrize(
    "pattern", [r"\(\?=", "[(?=]", r"[^]\]++]", r"\\\\", "[[:alpha:]++]", "(?ims)x", "(?i:a)b", r"a\+\+", "x{1,3}?", "[a{,3}]"]
)
def test_what_only_looks_like_it_is_taken(pattern: str) -> None:
    """Escaped, or in a class: the characters themselves."""
    Pattern(pattern)
