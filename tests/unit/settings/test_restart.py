"""What waits for a restart: the keys that a changed configuration names, and the column of the reference that says so."""

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from node.assembly.configuration import HILUM, changed_blocks, load, waiting_keys
from node.settings.blocks import keys_of

_FIELDS = {"define": "definitions"}
_RESTART = ("node", "store", "models", "audit", "console")
_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"
_TEXT = """\
node: {ae_title: HILUM, listen: "127.0.0.1:0"}
peers: {ct1: {ae_title: CT1, address: "127.0.0.1:0"}}
sinks: {out: {kind: folder, path: out}}
console: {listen: "127.0.0.1:0"}
"""


@pytest.fixture
def config(tmp_path: Path) -> Any:
    """One with a value in every block whose keys are compared one by one."""
    (tmp_path / "hilum.yaml").write_text(_TEXT)
    return load(tmp_path / "hilum.yaml")


def column(block: str) -> dict[str, str]:
    """What the reference says of the keys of a block."""
    table = _PAGE.read_text().split(f"| key of `{block}` |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \|.*\| (\w+) \|$", table, re.MULTILINE)
    assert len(rows) == len(table.splitlines()) - 2
    return dict(rows)


@pytest.mark.parametrize("block", ["node", "store", "audit", "console"])
def test_every_key_that_waits_is_named_when_its_value_is_another(config: Any, block: str) -> None:
    """And it says so in the reference, with all below it."""
    noun: Any = getattr(config, block)
    named = set()
    for field in fields(noun):
        if field.compare:
            (key,) = waiting_keys(config, replace(config, **{block: replace(noun, **{field.name: object()})}))
            named.add(key)
    keys = {key.name for key in keys_of(type(noun))}
    assert named == {f"{block}.{key}" for key in keys}
    assert column(block) == dict.fromkeys(keys, "restart")


def test_every_block_either_waits_or_is_taken_up(config: Any) -> None:
    """A block of either kind is told by one of the two, never by both and never by none."""
    for key in HILUM.whole.keys:
        if key.name == "profiles":
            continue  # a sink goes by one, and differs then
        if key.name == "models":
            other = replace(config, models=Path("/elsewhere"))
        else:
            field = _FIELDS.get(key.name, key.name)
            other = replace(config, **{field: None if key.name in _RESTART else object()})
        waits, taken = waiting_keys(config, other), changed_blocks(config, other)
        assert bool(waits) == (key.name in _RESTART)
        assert taken == (() if waits else (key.name,))


@pytest.mark.parametrize("block", ["peers.NAME", "peers.NAME.settle", "applications.NAME", "schedule", "notify", "routes[]"])
def test_what_is_taken_up_is_live_in_the_reference(block: str) -> None:
    """Also in the blocks inside of blocks."""
    assert set(column(block).values()) == {"live"}
