"""Expressions of a bundle that are read, and everything else, which is code; and the lines that refusals name."""

import json
import tracemalloc
from typing import Any

import pytest

from inference.applications.bundle.config import Config, Document, parse
from inference.applications.bundle.errors import CodeRefused, HostileBundle
from inference.applications.bundle.expressions import Unread, packs, read

VALUES = {
    "a": 3,
    "bytes": b"1",
    "names": {"spleen": 1, "background": 0},
    "sides": [96, 96, 96],
    "set::high": True,
    "word": "models",
    "no": None,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$None", None),
        ("$-50 * 2", -100),
        ("$@a + 1", 4),
        ("$ (@a // 2) % 2 ", 1),
        ("$len(@names) + 1", 3),
        ("$len(@sides)", 3),
        ("$[1.5, 1.5, 2.0] if @set#high else [3.0, 3.0, 3.0]", [1.5, 1.5, 2.0]),
        ("$'model.pt' if not @set::high else 'low.pt'", "low.pt"),
        ("$'./' + @word + '/model.pt'", "./models/model.pt"),
        ("$@a >= 3", True),
        ("$torch.float32", "float32"),
        ("$monai.utils.CommonKeys.IMAGE", "image"),
    ],
)
def test_what_is_read(text: str, value: object) -> None:
    """As MONAI would compute it; a branch that is not taken is not looked at."""
    assert read(text, lambda id: VALUES[id.replace("#", "::")]) == value


def test_a_file_of_values_is_read_as_its_configuration_says() -> None:
    """A searched network's arrays, by their names; how torch would read it, and where to, is no part of what stands in it. Arrays are added
    one by one, not joined: that is code, as is a file that may not be read, and one with settings that nobody knows."""
    asked = []

    def load(path: str) -> dict[str, Any]:
        asked.append(path)
        return {"node_a": [[1, 0], [0, 1]]}

    config = {
        "file": "$torch.load(@place, map_location=torch.device('cuda'), weights_only=False)",
        "place": "$'.' + '/models/search.pt'",
        "nodes": "$torch.from_numpy(@file['node_a'])",
        "absent": "$@file['node_b']",
        "sum": "$torch.from_numpy(@file['node_a']) + torch.from_numpy(@file['node_a'])",
        "joined": "$list(@file['node_a']) + list(@nodes)",
        "equal": "$1 if @nodes == [[1, 0], [0, 1]] else 0",
        "other": "$torch.load(@place, pickle_module=dill)",
    }
    assert Config(config, load=load).value("nodes") == [[1, 0], [0, 1]]
    assert asked == ["./models/search.pt"]
    assert Config(config, load=load).value("joined") == [[1, 0], [0, 1]] * 2
    for id, loads in (("absent", load), ("sum", load), ("equal", load), ("other", load), ("nodes", None)):
        with pytest.raises(CodeRefused):
            Config(config, load=loads).value(id)


@pytest.mark.parametrize(
    "text",
    [
        "$__import__('os').getpid()",
        "$os.path.exists(@word)",
        "$torch.device('cpu')",
        "$[x for x in @sides]",
        "$lambda x: x",
        "$@names.keys()",
        "$@sides[0]",
        "$f'{@word}'",
        "$'x' * 1000000",
        "$[0] * 1000000",
        "$9 ** 9 ** 9",
        "$1e308 * 1e308",
        "$1 / 0",
        "$len(@a)",
        "$@bytes + @bytes",
        "$len(@sides, 2)",
        "$print",
        "$'%1000000d' % 1",
        "$" + "-" * 150 + "1",
        "$" + "(" * 400 + "1" + ")" * 400,
        "$1 +",
        "$",
        "$" + "1 + " * 600 + "1",
    ],
)
def test_everything_else_is_code(text: str) -> None:
    """Also what would only be large, or is nothing at all; none of it runs."""
    with pytest.raises(Unread):
        read(text, lambda id: VALUES[id])


def test_references_that_multiply_end() -> None:
    """Sixty expressions of which each has the next twice are 2 to the power of 60 values: refused, and soon."""
    content = {f"x{number}": f"$@x{number + 1} + @x{number + 1}" for number in range(60)} | {"x60": 1}
    with pytest.raises(HostileBundle, match="without end"):
        Config(content).value("x0")
    with pytest.raises(HostileBundle, match="without end"):
        Config({"a": "$@b + 1", "b": "$@a + 1"}).value("a")


@pytest.mark.parametrize(
    ("text", "packed"),
    [
        ("$lambda x: torch.where(x[[2]] > 0, 4, torch.where(x[[0]] > 0, 1, torch.where(x[[1]] > 0, 2, 0)))", True),
        ("$lambda x: torch.where(x[[2]] > 0, 4, x)", False),
        ("$lambda x: torch.where(y[[2]] > 0, 4, 0)", False),
        ("$lambda x: torch.where(x[[2]] < 0, 4, 0)", False),
        ("$lambda x, *y: torch.where(x[[2]] > 0, 4, 0)", False),
        ("$lambda x: 0", False),
        ("$lambda x: torch.nan_to_num(x, nan=255)", False),
        ("$torch.where", False),
    ],
)
def test_what_packs_masks_for_a_file(text: str, packed: bool) -> None:
    """One image of numbers made of masks, and nothing that does more."""
    assert packs(text) is packed


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("configs/inference.json", '{\n\t"a": {\n\t\t"b": [\n\t\t\t1,\n\t\t\t"$print()"\n\t\t]\n\t}\n}'),
        ("configs/inference.yaml", "a:\n  # a note\n  b:\n  - 1\n  - $print()\n"),
    ],
)
def test_refusals_name_file_and_line(name: str, text: str) -> None:
    """Of JSON, also with tabs, and of YAML; what is not there is named by what stands around it."""
    config = Config(parse(name, text.encode()), document=Document(name, text.encode()))
    with pytest.raises(CodeRefused) as refused:
        config.value("a")
    assert str(refused.value).startswith(f"{name}:5: a::b::1 asks to run code")
    assert config.at("a::b::7::x") == f"{name}:3: a::b::7::x"
    assert config.at("z") == f"{name}:1: z"


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "a: &a {b: *a}",
        "\n".join(["a0: &a0 [1, 1]", *(f"a{number}: &a{number} [*a{number - 1}, *a{number - 1}]" for number in range(1, 40))]),
        "\n".join(["a0: &a0 {b: 1}", *(f"a{number}: &a{number} {{<<: [*a{number - 1}, *a{number - 1}]}}" for number in range(1, 40))]),
    ],
)
def test_anchors_that_refer_to_each_other_without_end(text: str) -> None:
    """Refused before anything is made of them: a sentence that shows one, or a merge, would take all memory."""
    with pytest.raises(HostileBundle, match=r"configs/inference.yaml becomes more than 1000000 values"):
        parse("configs/inference.yaml", text.encode())


def test_lines_are_found_without_all_ids_being_made() -> None:
    """Of long keys around many values the ids together would take all memory."""
    key = "k" * 900
    nested: Any = [0] * 500
    for _ in range(40):
        nested = {key: nested}
    text = json.dumps(nested, indent=0).encode()
    id = "::".join([key] * 40 + ["499"])
    tracemalloc.start()
    try:
        assert Document("configs/inference.json", text).at(id) == f"configs/inference.json:{41 + 500}: {id}"
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()
