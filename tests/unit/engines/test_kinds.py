"""What hilum knows of a kind of engine stands in that kind's own folder."""

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from inference.engines.embedded.kind import KIND
from inference.engines.kind import EngineKind, Option, Switch
from inference.engines.kinds import DEFAULT, KINDS
from node.settings.engines import engines_of
from tests.lab.naming import naming

REGISTRY = "inference/engines/kinds.py"
BESIDE = {
    "embedded": {
        "inference/engines/extras.py",  # which extra brings its library
        "inference/engines/measured_entry.py",  # a field of hilum.json: how this machine computes a model best
        "inference/engines/repository.py",  # the same field
        "inference/engines/exporting.py",  # the export is computed here before anybody serves it
        "inference/engines/file_import.py",  # an import is
        "node/cli/demo.py",  # the two engines that the demo offers
        "node/cli/models.py",  # computes the known input here, whatever serves
        "node/cli/tune.py",  # measures how this machine computes
    },
    "triton": {
        "inference/engines/extras.py",  # which extra brings its library
        "node/cli/demo.py",  # the two engines that the demo offers; shows what that server counted
        "node/cli/demo_needs.py",  # starts a server for the demo
    },
}
"""Files that use one engine, whichever the node is configured with, and why."""


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_a_kind_of_engine_is_named_in_its_own_folder_and_in_the_list_of_kinds(kind: str) -> None:
    """Settings, assembly, flow and doctor read the record; none of them asks which kind it has before it."""
    assert naming(kind, f"inference.engines.{kind}") == {REGISTRY} | BESIDE[kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Distant:
    """What one more kind is told."""

    kind: ClassVar[str] = "distant"
    load: bool = False


def another(name: str, *options: Option) -> EngineKind[Any]:
    """One more kind."""
    return EngineKind(
        name=name, says="computes", takes=options, options=Distant, open=KIND.open, where=lambda _: "elsewhere", mend=lambda _: "Wait."
    )


@pytest.mark.parametrize("clashing", [another("triton"), another("distant", Option(name="load", takes=Switch(), says="again."))])
def test_kinds_that_share_a_name_or_an_option_are_refused(clashing: EngineKind[Any]) -> None:
    """A key of `engines:` means one thing, whatever the kind."""
    with pytest.raises(ValueError, match="share a name"):
        engines_of([*KINDS, clashing], DEFAULT)


def test_the_default_kind_needs_nothing_and_computes_here() -> None:
    """`engines:` may be left out: what is told nothing is computed on this machine."""
    assert not any(option.required for option in DEFAULT.takes)
    assert DEFAULT.options() == DEFAULT.options(**{option.name: None for option in DEFAULT.takes if option.default is None})
    assert [kind.name for kind in KINDS if kind.local] == [DEFAULT.name]
