"""What a reader sees of a heart over a beat: OHIF shows the mask of each phase on the frames of that phase."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.lab import cine
from tests.lab.loopback import free_port
from tests.lab.ohif import SMALL, Viewer
from tests.lab.orthanc import Orthanc
from tests.peers.letters import coloured
from tests.results.test_over_time import results

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with Orthanc(tmp_path_factory.mktemp("pacs") / "pacs", node_port=free_port()) as running:
        yield running


@pytest.fixture(scope="module")
def viewer(pacs: Orthanc) -> Iterator[Viewer]:
    with Viewer(pacs.url, size=SMALL) as running:
        yield running


def stored(pacs: Orthanc, made: cine.Cine, folder: Path) -> str:
    """Bring the images and the mask into the archive; the study."""
    objects, _ = results(made, folder)
    (mask,) = [path for path in objects if dcmread(path).Modality == "SEG"]
    for path in (*made.files, mask):
        pacs.post_instance(path.read_bytes())
    return str(dcmread(mask).StudyInstanceUID)


def test_masks_on_an_enhanced_cine_are_those_of_the_phase_that_is_shown(pacs: Orthanc, viewer: Viewer, tmp_path: Path) -> None:
    """The viewer shows its frames one after another, slice after slice with the last phase first, each with the mask of its own phase: as
    large as the heart was drawn there."""
    made = cine.enhanced(tmp_path / "cine")
    study, slice_ = stored(pacs, made, tmp_path / "results"), 1
    with viewer.open(study) as opened:
        opened.show_series("SEG")
        opened.wait_for_overlay(0)
        pixels = []
        for phase in (7, 6, 3, 0):
            shown = opened.slice(cine.PHASES * slice_ + cine.PHASES - 1 - phase)
            pixels.append(int(coloured(shown).sum()) / int(made.blood[phase, slice_].sum()))
    assert pixels == pytest.approx([pixels[0]] * 4, rel=0.05)
