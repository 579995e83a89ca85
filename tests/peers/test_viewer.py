"""The viewer of the laboratory shows what another program segmented: the check that the node's results are held to can fail."""

from pathlib import Path

import pytest

from tests.lab.loopback import free_port
from tests.lab.needs import data
from tests.lab.ohif import SMALL, Viewer
from tests.lab.orthanc import Orthanc


@pytest.mark.slow
def test_the_viewer_shows_a_segmentation_only_when_asked(tmp_path: Path) -> None:
    """A CT with dcmqi's segmentation of the liver: grey at first, coloured after a double-click on the segmentation."""
    with Orthanc(tmp_path / "pacs", node_port=free_port()) as pacs:
        pacs.upload(data("dicom", "ct_liver3_SEG"))
        with Viewer(pacs.url, size=SMALL) as viewer:
            shown = viewer.open(pacs.study().uid)
            assert shown.coloured() == 0
            shown.show_series("SEG")
            # the liver covers a tenth of this slice
            shown.wait_for_overlay(5_000)
            assert viewer.said == []
