"""The table of value representations, and what a configuration knows of the data dictionary without pydicom."""

import subprocess
import sys
from pathlib import Path

from pydicom.datadict import dictionary_VR, keyword_dict

from node.dicom.vr import ASKED_OFTEN


def test_what_routes_ask_for_often_is_as_the_dictionary_has_it() -> None:
    """Every keyword is DICOM's, with the value representation of PS3.6."""
    assert {name: dictionary_VR(keyword_dict[name]) for name in ASKED_OFTEN} == ASKED_OFTEN


def test_a_configuration_is_read_without_pydicom(tmp_path: Path) -> None:
    """Where routes ask for nothing else, neither the supervisor nor a command loads it, or numpy: half of what it takes them to start."""
    config = tmp_path / "hilum.yaml"
    config.write_text(
        "store: {journal: 'sqlite:hilum.db', blobs: 'file:blobs'}\n"
        "peers: {ct: {ae_title: CT, address: '127.0.0.1:104'}}\n"
        "sinks: {results: {kind: folder, path: results}}\n"
        "routes: [{name: heads, when: {Modality: MR, SliceThickness: {max: 3}}, run: [hippocampus], send: [results]}]\n"
    )
    read = "from node.assembly.configuration import load; load(Path(sys.argv[1]))"
    loaded = "print([name for name in ('pydicom', 'numpy') if name in sys.modules])"
    asked = f"import sys, node.assembly.supervisor; from pathlib import Path; {read}; {loaded}"
    done = subprocess.run([sys.executable, "-c", asked, config], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "[]\n"
