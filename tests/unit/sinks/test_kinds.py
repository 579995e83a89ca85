"""What the node knows of a kind of sink stands in that kind's own file."""

import subprocess
import sys
from typing import Any

import pytest

from node.assembly.configuration import HILUM
from node.settings.blocks import Key
from node.settings.kinds import TEXT
from node.settings.sinks import sinks_of
from node.sinks.folder import KIND, Folder, FolderSink
from node.sinks.kinds import KINDS
from node.sinks.port import SinkKind
from tests.lab.naming import ROOT, names, naming

REGISTRY = "node/sinks/kinds.py"
OTHER_MEANINGS = {
    "inference/applications/container/described.py": {"folder"},  # a contract: a container that names its own folders
    "node/cli/backup.py": {"folder"},  # where a backup lies
    "node/observe/metrics.py": {"folder"},  # a label: which folder of the store
    "node/settings/audit.py": {"folder"},  # a key: where the trail waits
    "node/settings/store.py": {"folder"},  # a key: where decrypted files may lie
}
"""Files that have the word for something that is no sink."""


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_a_kind_of_sink_is_named_in_its_own_file_and_in_the_list_of_kinds(kind: str) -> None:
    """Settings, digest, assembly, doctor and audit read the record; none of them asks which kind it has before it."""
    assert naming(kind, f"node.sinks.{kind}") == {REGISTRY} | {name for name, words in OTHER_MEANINGS.items() if kind in words}


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ('if sink.kind == "folder": ...', True),
        ("def late():\n    from node.sinks.folder import FolderSink", True),
        ("from node.sinks import dimse, folder", True),
        ("import node.sinks.folder", True),
        ("from node.sinks import dimse", False),
        ("def folder(): ...", False),
    ],
)
def test_naming_is_a_text_or_an_import(source: str, named: bool) -> None:
    """The test above would see each way of naming a kind."""
    assert names(source, "folder", "node.sinks.folder") is named


def another(name: str, *keys: Key) -> SinkKind[Any]:
    """One more kind that writes into folders."""
    return SinkKind(
        name=name, says="writes too", keys=keys, destination=Folder, open=lambda to, _: FolderSink(to.path), recipient=KIND.recipient
    )


@pytest.mark.parametrize(
    "clashing", [another("folder"), another("shelf", *KIND.keys), another("shelf", Key(name="profile", kind=TEXT, says="what it gets."))]
)
def test_kinds_that_share_a_name_or_a_key_are_refused(clashing: SinkKind[Any]) -> None:
    """A key of `sinks:` means one thing, whatever the kind: the name of a second kind, its key, or that of a key of all sinks."""
    with pytest.raises(ValueError, match="share a name"):
        sinks_of([*KINDS, clashing], HILUM.profile)


def test_reading_a_configuration_imports_nothing_heavy() -> None:
    """Whoever only reads hilum.yaml pays for no network, no tensor and no picture library, however many kinds of sinks there are."""
    heavy = ("pynetdicom", "pydicom", "highdicom", "torch", "tritonclient", "numpy", "sqlalchemy")
    asked = f"import sys, node.assembly.configuration; print([name for name in {heavy!r} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=ROOT)
    assert told.stdout == "[]\n"
