"""A block, mostly `routes:`, in the text of a configuration: found with its comments, put there anew, and nothing around it touched."""

from pathlib import Path

import pytest

from node.domain.errors import ConfigError
from node.settings.rewriting import block_part
from node.settings.source import NotBlockAlone

FILE = Path("hilum.yaml")
TEXT = """\
# ours
node: {ae_title: HILUM}   # the old one
routes:  # who gets what
  - name: ü
    # why CT alone
    run: [ct-lung]

# where it goes
sinks: {out: {kind: folder, path: "out"}}
"""
NEW = "routes:\n  # none for now\n  []\n"


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_only_the_block_is_another_one(ending: str, mark: str) -> None:
    """Comments of other blocks, odd spaces, a byte order mark, and the line endings of the file stay; browsers send their own."""
    data = (mark + TEXT.replace("\n", ending)).encode()
    part = block_part(data, FILE, "routes")
    assert (part.line, part.text.splitlines()[0], part.text.splitlines()[-1]) == (3, "routes:  # who gets what", "    run: [ct-lung]")
    assert part.replaced(part.text) == data
    before, behind = data.split(part.text.encode())
    assert part.replaced(NEW.replace("\n", "\r\n")) == before + NEW.replace("\n", ending).encode() + behind


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("node: {}", "node: {}\nroutes: []\n"),
        ("node: {}\nroutes: [a]", "node: {}\nroutes: []\n"),
        ("routes: [a]\n# the end\n", "routes: []\n# the end\n"),
        ('{"node": {}, "routes": [1], "peers": {}}', '{"node": {}, "routes": [], "peers": {}}'),
    ],
)
def test_wherever_it_stands(text: str, made: str) -> None:
    """Nowhere yet, at the end without a line's end, before a last comment, and in a file of braces."""
    part = block_part(text.encode(), FILE, "routes")
    key = '"routes"' if text.startswith("{") else "routes"
    assert part.replaced(f"{key}: []\n").decode() == made


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("routes: []\nsinks: {}", "stand twice"),
        ("routes: []\npeers: {}", "`peers:` stands beside `routes:`"),
        ("routes: []\nroutes: []", "stand twice"),
        ("", "is gone"),
        ("# routes: []", "is gone"),
        ("peers: {}", "is gone"),
        ("routes: [*mine]", "an anchor that stands in another block"),
        ("routes: 'a", "the quotation mark of line 2 is not closed"),
        ("routes: []\n---\nnode: {}", "a second document begins here"),
        ("routes: !!python/object/apply:os.system [id]", "means nothing here"),
        ("routes: &a [*a]", "more than 100000 values"),
        ("routes:\n  " + "[" * 5000, "nested hundreds deep"),
    ],
)
def test_what_is_more_or_less_than_the_block_is_refused(text: str, words: str) -> None:
    """Nothing beside the routes can be changed by what is given as routes, and nothing of other blocks be read by them."""
    part = block_part(b"node: &mine {}\n" + TEXT.split("\n", 2)[2].encode(), FILE, "routes")
    with pytest.raises(ConfigError, match=words.replace("(", "\\(")) as refused:
        part.replaced(text)
    assert str(refused.value).startswith("hilum.yaml:")


def test_a_bomb_of_aliases_is_refused_at_once() -> None:
    """Ten to the ninth values out of a few lines: the loader counts before anything reads them."""
    lines = ["routes:", "  - &a0 [x]", *(f"  - &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]" for n in range(9))]
    with pytest.raises(ConfigError, match="more than 100000 values"):
        block_part(b"node: {}\n", FILE, "routes").replaced("\n".join(lines))


@pytest.mark.parametrize("text", ["[1, 2]", "{node: {}}", "word"])
def test_a_file_without_a_place_for_routes_is_refused(text: str) -> None:
    with pytest.raises(NotBlockAlone):
        block_part(text.encode(), FILE, "routes")


@pytest.mark.parametrize("padding", ["", "\n" * 200, "\r\n" * 7, "\r" * 3])
@pytest.mark.parametrize("front", ["", "\n\n\n"])
def test_the_last_line_is_where_the_block_really_ends(padding: str, front: str) -> None:
    """Blank lines in front stay, as somebody counts the lines of what he typed; those behind are not put into the file, nor counted."""
    part = block_part(TEXT.encode(), FILE, "routes")
    whole = part.replaced(front + NEW.rstrip("\n") + padding).decode().splitlines()
    assert whole[part.line - 1 + len(front) :][: len(NEW.splitlines())] == NEW.splitlines()
    assert whole[part.last_of(front + NEW.rstrip("\n") + padding) - 1] == NEW.splitlines()[-1]
    assert TEXT.splitlines()[part.last - 1] == part.text.splitlines()[-1]


def test_a_new_block_stands_on_a_line_of_its_own() -> None:
    """Behind a file whose last line has no end, and which has no routes yet."""
    part = block_part(b"node: {}\npeers: {}", FILE, "routes")
    assert part.replaced("routes: []").decode().splitlines()[part.line - 1] == "routes: []"
    assert (part.last_of("routes: []"), part.last) == (part.line, part.line - 1)


@pytest.mark.parametrize("key", ["peers", "sinks"])
def test_other_blocks_are_edited_in_the_same_way(key: str) -> None:
    """Found where they stand, put anew, and told by their own names."""
    data = b"# ours\npeers:\n  a: {}\n\nsinks:\n  b: {}   # the old one\n"
    part = block_part(data, FILE, key)
    assert part.replaced(part.text) == data
    assert part.replaced(f"{key}: {{}}\n") == data.replace(part.text.encode(), f"{key}: {{}}\n".encode())
    with pytest.raises(NotBlockAlone, match=f"block `{key}:` is gone; one without entries is `{key}: {{}}`"):
        part.replaced("# nothing")
    with pytest.raises(NotBlockAlone, match=f"`routes:` stands beside `{key}:`"):
        part.replaced(f"{key}: {{}}\nroutes: []")
