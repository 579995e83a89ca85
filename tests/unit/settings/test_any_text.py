"""Whatever an operator types, the answer is a Config or a ConfigError that names a place; never another exception."""

import re
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from node.assembly.configuration import load
from node.domain.errors import ConfigError
from node.settings.source import ConfigRefused

GOOD = """\
node: {ae_title: [HILUM, NO], listen: "127.0.0.1:0"}
peers: {pacs: {ae_title: PACS, address: "10.0.0.5:104", settle: {quiet: 5s}}}
sinks: {archive: {kind: dimse, peer: pacs}}
routes:
  - name: chest
    when: {StudyDate: {within: 7d}, SliceThickness: {max: 5}, SeriesDescription: {matches: "a|b"}, ImageType: {not: {in: [X, Y]}}}
    run: ct-lung
    send: [archive]
"""
_PIECES = st.sampled_from(
    [*"{}[]:,-#&*!|>'\"%@`\t\n\0 é\\", "- ", ": ", "null", "~", "<<: *a", "&a ", "*a", "!!int ", "? ", "1e999", "9" * 400, "\x85", "---\n"]
)
_EDITS = st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), _PIECES | st.text(max_size=3)), min_size=1, max_size=4)


@settings(max_examples=300, deadline=None)
@given(edits=_EDITS)
def test_any_edit_of_a_good_file_is_read_or_refused_with_a_place(edits: list[tuple[int, int, str]]) -> None:
    """Edits cut out a few characters and put something else there, four times at most."""
    text = GOOD
    for at, cut, piece in edits:
        text = text[:at] + piece + text[at + cut :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hilum.yaml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            load(path, applications=("ct-lung", "mr-brain"))
        except ConfigError as refused:
            problems = refused.problems if isinstance(refused, ConfigRefused) else (refused,)
            for problem in problems:
                assert re.match(rf"{re.escape(str(path))}:[0-9]+:[0-9]+: .", str(problem)), str(problem)
