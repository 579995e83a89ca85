"""What a container wrote, as findings: files that a made module leaves, read as a job reads them, without any container."""

import json
import os
import re
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from inference import codes
from inference.applications.bundle.structures import Structure
from inference.applications.container.described import ContainerAnswer, ContainerManifest, ContainerValue, Contract, MarkedBy
from inference.applications.container.errors import ContainerOutputRefused
from inference.applications.container.output import read_made
from inference.applications.container.reading import found_in
from inference.applications.port import Accepts
from inference.codes import Code
from inference.findings import Findings
from inference.imaging.assemble import assemble
from inference.imaging.write_series import write_series
from tests.lab.modules.writing import coded, save, segmentation

LIVER = Code("10200004", "SCT", "Liver")
KIDNEY = Code("64033007", "SCT", "Kidney")
LEFT_KIDNEY = Structure(
    channel=1, label="kidney left", type=KIDNEY, category=codes.ANATOMICAL_STRUCTURE, rgb=(1, 2, 3), laterality=codes.LEFT
)


def container(**said: Any) -> ContainerManifest:
    """One that marks the left kidney."""
    given = {"structures": (LEFT_KIDNEY,), **said}
    return ContainerManifest(
        name="ct-kidney",
        version="1.0.0",
        title="Kidney",
        image="sha256:" + 64 * "0",
        contract=Contract.FOLDER,
        accepts=Accepts(modality=("CT",)),
        given_at="/input",
        made_at="/output",
        **given,
    )


class Run:
    """A CT of four slices with a bright block, and the folder in which a module leaves what it made of it."""

    def __init__(self, folder: Path) -> None:
        voxels = np.zeros((4, 8, 8), np.int16)
        voxels[1:3, 2:5, 2:6] = 700
        affine = np.array([[0.0, 0, 1, -10], [0, 1, 0, -12], [2, 0, 0, 5], [0, 0, 0, 1]])
        files = write_series(voxels, affine, folder / "ct", modality="CT")
        self.volume = assemble(files)
        self._images = sorted((dcmread(file) for file in files), key=lambda image: float(image.ImagePositionPatient[2]))
        self.made = folder / "made"
        self.made.mkdir()

    def seg(self) -> Dataset:
        """A segmentation of the block."""
        return segmentation(self._images, 300, (KIDNEY.value, KIDNEY.scheme, KIDNEY.meaning), "kidney left")

    def says(self, manifest: ContainerManifest, seg: Dataset | None = None, values: Any = None) -> Findings:
        """What a job finds of these files."""
        if seg is not None:
            save(seg, self.made / "kidney.dcm")
        if values is not None:
            (self.made / manifest.values_file).write_text(json.dumps(values), encoding="utf-8")
        instances = frozenset(str(image.SOPInstanceUID) for image in self._images)
        return found_in(manifest, self.volume, read_made(manifest, self.made, self._images[0], instances), ())


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """One of each test's own."""
    return Run(tmp_path)


_RIGHT, _LEFT = coded("24028007", "SCT", "Right"), coded("7771000", "SCT", "Left")


def test_a_segment_of_the_other_side_is_refused(run: Run) -> None:
    """A kidney that its maker calls the right one is no left one, whatever its label says (PS3.3 C.8.20.2)."""
    seg = run.seg()
    seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = Sequence([_RIGHT])
    with pytest.raises(ContainerOutputRefused, match=r'codes "kidney left" as Right, container\.yaml as Left'):
        run.says(container(), seg)


def test_a_segment_whose_region_is_of_the_other_side_is_refused(run: Run) -> None:
    """Its side may stand at its anatomic region as well (PS3.3 10.5)."""
    seg = run.seg()
    region = coded("64033007", "SCT", "Kidney")
    region.AnatomicRegionModifierSequence = Sequence([_RIGHT])
    seg.SegmentSequence[0].AnatomicRegionSequence = Sequence([region])
    with pytest.raises(ContainerOutputRefused, match=r'codes "kidney left" as Right'):
        run.says(container(), seg)


def test_a_segment_of_the_side_that_is_declared_is_marked(run: Run) -> None:
    """The same side, and a modifier that is no side, are no contradiction; the mask is the block."""
    seg = run.seg()
    transplanted = coded("24486003", "SCT", "Transplanted")
    seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = Sequence([transplanted, _LEFT])
    (segment,) = run.says(container(), seg).segments
    assert segment.laterality == codes.LEFT
    np.testing.assert_array_equal(segment.mask, run.volume.voxels == 700)


def rewritten(run: Run, seg: Dataset, before: bytes, after: bytes) -> None:
    """Leave a segmentation of which bytes say something else, as no library writes it."""
    assert len(before) == len(after)
    save(seg, run.made / "kidney.dcm")
    content = (run.made / "kidney.dcm").read_bytes()
    assert content.count(before) == 1
    (run.made / "kidney.dcm").write_bytes(content.replace(before, after))


def outside_of_quotations(reason: object) -> str:
    """What of a reason goes into the log."""
    return re.sub("«[^»]*»", "", str(reason))


def test_what_a_file_says_where_a_number_belongs_is_quoted(run: Run) -> None:
    """It may be a name: the log leaves out what is quoted, and nothing else (DESIGN: no patient data in the log)."""
    seg = run.seg()
    seg.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient[0] = "-10.125"
    rewritten(run, seg, b"-10.125", b"DOE^JAN")
    with pytest.raises(ContainerOutputRefused, match="cannot be read") as refused:
        run.says(container())
    assert "DOE" in str(refused.value)
    assert "DOE" not in outside_of_quotations(refused.value)


@pytest.mark.parametrize("keyword", ["SegmentationType", "SOPClassUID"])
def test_what_a_file_says_that_it_is_is_quoted(run: Run, keyword: str) -> None:
    """Words of the file are the file's: also those that ought to be one of a few."""
    seg = run.seg()
    setattr(seg, keyword, {"SegmentationType": "DOE JANE", "SOPClassUID": "1.2.840.55555"}[keyword])
    with pytest.raises(ContainerOutputRefused, match="kidney") as refused:
        run.says(container(), seg)
    assert not {"DOE", "55555"} & set(re.split(r"[\W]", outside_of_quotations(refused.value)))
    assert re.search("«.*(DOE|55555).*»", str(refused.value))


def test_an_orientation_that_is_no_number_is_none(run: Run) -> None:
    """NaN is not within a bound: such a frame lies nowhere."""
    seg = run.seg()
    seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient[0] = "0.99999999"
    rewritten(run, seg, b"0.99999999", b"NaN       ")
    with pytest.raises(ContainerOutputRefused):
        run.says(container())


def test_more_elements_than_a_result_has_are_not_read(run: Run) -> None:
    """Sixteen megabytes of empty ones would hold a worker for half a minute, and a gigabyte for one of hours."""
    (run.made / "zeros.dcm").write_bytes(bytes(128) + b"DICM" + bytes(8 * 2_000_001))
    with pytest.raises(ContainerOutputRefused, match="has more than 2000000 elements, which are not read"):
        run.says(container(), run.seg())


def labelled(run: Run, manifest: ContainerManifest, labels: NDArray[np.generic], name: str = "labels.nii.gz") -> Findings:
    """What a job finds of a file of labels, written as nibabel writes it."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ run.volume.affine[:, [2, 1, 0, 3]]
    nibabel.save(nibabel.Nifti1Image(labels.T, affine), run.made / name)
    return run.says(manifest)


def by_labels(**numbers: int) -> dict[str, MarkedBy]:
    """Segments that one file marks; "_" stands for a blank."""
    return {label.replace("_", " "): MarkedBy(file="labels.nii.gz", value=value) for label, value in numbers.items()}


def test_labels_are_segments_with_their_declared_codes(run: Run) -> None:
    """Two numbers of one file; what it leaves out was not found: of each voxel it says what it is."""
    manifest = container(structures=BOTH, marked=by_labels(kidney_left=3, liver=12))
    found = labelled(run, manifest, 3 * (run.volume.voxels == 700).astype(np.uint8))
    (segment,) = found.segments
    assert (segment.label, segment.type, segment.laterality) == ("kidney left", KIDNEY, codes.LEFT)
    np.testing.assert_array_equal(segment.mask, run.volume.voxels == 700)
    assert told(found) == ["Not found in these images: liver."]


def test_a_number_that_nothing_declares_is_refused(run: Run) -> None:
    """It is a structure without a code; the least of them is named."""
    labels = np.zeros((4, 8, 8), np.int16)
    labels[1, 1, 1], labels[2, 2, 2], labels[3, 3, 3] = 3, 9, 5
    with pytest.raises(ContainerOutputRefused, match=r"«labels\.nii\.gz» marks 5, which container\.yaml does not declare"):
        labelled(run, container(marked=by_labels(kidney_left=3)), labels)


def test_a_file_of_labels_that_did_not_come_is_no_healthy_patient(run: Run) -> None:
    """As of a segmentation; nor is a NIfTI file that nobody declared, which is refused as all else is."""
    marked = by_labels(kidney_left=3)
    with pytest.raises(ContainerOutputRefused, match='it made no segmentation of "kidney left"'):
        run.says(container(marked=marked), values={"status": "ok"})
    with pytest.raises(ContainerOutputRefused, match=r"«other\.nii\.gz» is neither DICOM nor a file that container\.yaml names"):
        labelled(run, container(marked=marked), np.zeros((4, 8, 8), np.uint8), "other.nii.gz")


def test_what_a_segmentation_marks_no_file_of_labels_marks_besides(run: Run) -> None:
    """Which of the two is meant nobody knows."""
    save(run.seg(), run.made / "kidney.dcm")
    with pytest.raises(ContainerOutputRefused, match=r'«labels\.nii\.gz» marks "kidney left" a second time'):
        labelled(run, container(marked=by_labels(kidney_left=1)), np.zeros((4, 8, 8), np.uint8))


BOTH = (LEFT_KIDNEY, Structure(channel=2, label="liver", type=LIVER, category=codes.ANATOMICAL_STRUCTURE, rgb=(4, 5, 6)))


def empty(seg: Dataset) -> Dataset:
    """The segmentation of somebody in whom nothing is bright: it describes its segment, and has no frame."""
    seg.NumberOfFrames, seg.PixelData, seg.PerFrameFunctionalGroupsSequence = 0, b"", Sequence()
    return seg


def told(found: Findings) -> list[str]:
    """What readers are told beside findings."""
    return [str(one) for one in found.remarks]


@pytest.mark.parametrize("values", [{"kidney": {}}, {"kidney": {"found": None}}, {"status": "ok"}], ids=str)
def test_a_model_that_failed_silently_is_no_healthy_patient(run: Run, values: object) -> None:
    """JSON came, and no segmentation of what it says that it segments: status 0 is not "nothing found"."""
    with pytest.raises(
        ContainerOutputRefused, match=r'no segmentation of "kidney left", and result\.json does not say that it was not found'
    ):
        run.says(container(), values=values)
    with pytest.raises(ContainerOutputRefused, match=r'no segmentation of "kidney left", and result\.json has nothing at kidney\.found'):
        run.says(container(found={"kidney left": "kidney.found"}), values=values)


@pytest.mark.parametrize("said", [False, 0, 0.0], ids=str)
def test_that_nothing_was_found_may_stand_in_json(run: Run, said: object) -> None:
    """Where the description says that it stands there; what is measured of the segment is not asked for then."""
    voxels = ContainerValue(key="kidney.voxels", name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE, segment="kidney left")
    found = run.says(container(found={"kidney left": "kidney.found"}, values=(voxels,)), values={"kidney": {"found": said}})
    assert not found.segments
    assert [one.value for one in found.measurements] == [0.0]
    assert told(found) == ["Not found in these images: kidney left."]


def test_that_nothing_was_found_may_stand_in_an_empty_segmentation(run: Run) -> None:
    """Also in one without a frame."""
    found = run.says(container(), empty(run.seg()))
    assert not found.segments
    assert told(found) == ["Not found in these images: kidney left."]


@pytest.mark.parametrize(("probability", "refused"), [(0.1, False), (0.5, True), (0.9, True)], ids=["absent", "undetermined", "present"])
def test_a_finding_that_is_absent_says_it_of_the_segment_of_its_code(run: Run, probability: float, refused: bool) -> None:
    """Absent is an answer; undetermined and present are none, and a mask is missing."""
    manifest = container(structures=BOTH[1:], answers=(ContainerAnswer(key="p", finding=LIVER, present=0.8, absent=0.2),))
    if refused:
        with pytest.raises(ContainerOutputRefused, match='no segmentation of "liver"'):
            run.says(manifest, values={"p": probability})
        return
    assert told(run.says(manifest, values={"p": probability})) == ["Not found in these images: liver."]


def test_a_finding_says_nothing_of_one_side(run: Run) -> None:
    """No kidney disease in either is not: the left kidney was not found."""
    manifest = container(answers=(ContainerAnswer(key="p", finding=KIDNEY, present=0.5, absent=0.5),))
    with pytest.raises(ContainerOutputRefused, match='no segmentation of "kidney left"'):
        run.says(manifest, values={"p": 0})


def test_one_segment_among_others_is_left_out_by_agreement_alone(run: Run) -> None:
    """A segmentation of the kidney says nothing of the liver, unless the description has it that such a one is left out; without any
    segmentation that says nothing either."""
    with pytest.raises(ContainerOutputRefused, match='no segmentation of "liver"'):
        run.says(container(structures=BOTH), run.seg())
    agreed = container(structures=BOTH, optional=("liver", "kidney left"))
    found = run.says(agreed, run.seg())
    assert [one.label for one in found.segments] == ["kidney left"]
    assert told(found) == ["Not found in these images: liver."]
    (run.made / "kidney.dcm").unlink()
    with pytest.raises(ContainerOutputRefused, match='no segmentation of "kidney left"'):
        run.says(agreed, values={"status": "ok"})


def test_json_and_masks_that_contradict_each_other_are_refused(run: Run) -> None:
    """Found and no mask, found and an empty mask, not found and a mask; and a word is neither."""
    manifest = container(found={"kidney left": "found"})
    with pytest.raises(ContainerOutputRefused, match=r'at found that "kidney left" was found, and no segmentation came of it'):
        run.says(manifest, values={"found": True})
    with pytest.raises(ContainerOutputRefused, match=r'at found that "kidney left" was found, and nothing marks it'):
        run.says(manifest, empty(run.seg()), values={"found": 12.5})
    with pytest.raises(ContainerOutputRefused, match=r'at found that "kidney left" was not found, and a segmentation marks it'):
        run.says(manifest, run.seg(), values={"found": 0})
    odd: list[object] = ["no", -1, [], float("nan")]
    for word in odd:
        with pytest.raises(ContainerOutputRefused, match=r'where it says whether "kidney left" was found'):
            run.says(manifest, run.seg(), values={"found": word})


def _socket(path: Path) -> None:
    # a path may be too long for one
    with pytest.MonkeyPatch.context() as patch, socket.socket(socket.AF_UNIX) as made:
        patch.chdir(path.parent)
        made.bind(path.name)


def _device(path: Path) -> None:
    # the one device that anybody may make: what an overlay calls gone
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(0, 0))


def _two_names(path: Path) -> None:
    path.write_bytes(b"x")
    os.link(path, path.with_name("another.dcm"))


@pytest.mark.parametrize("make", [os.mkfifo, _socket, _device, _two_names, lambda path: path.symlink_to("/etc/passwd")])
def test_what_is_no_file_of_its_own_is_refused(run: Run, make: Callable[[Path], object]) -> None:
    """A pipe would be waited for, a device read without end, and a link leads out of the folder."""
    make(run.made / "mask.dcm")
    with pytest.raises(ContainerOutputRefused, match=r"«(mask|another)\.dcm» is a link, or no file"):
        run.says(container(), run.seg())


def test_a_file_of_holes_is_refused_without_being_read(run: Run) -> None:
    """A terabyte that takes no place on the disk."""
    with (run.made / "mask.dcm").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ContainerOutputRefused, match=r"«mask\.dcm» is neither DICOM nor a file that container\.yaml names"):
        run.says(container())
    (run.made / "mask.dcm").rename(run.made / "result.json")
    with pytest.raises(ContainerOutputRefused, match=r"result\.json has more than 1024 KiB"):
        run.says(container())


@pytest.mark.parametrize("name", [b"a\nb.txt", b"\xff.txt", b"a\x1b[31m.txt", b"\xc2\xab.txt"], ids=repr)
def test_a_name_of_a_file_breaks_no_line_and_no_quotation(run: Run, name: bytes) -> None:
    """It is shown in characters that every log and database takes."""
    Path(os.fsdecode(bytes(run.made) + b"/" + name)).write_bytes(b"x")
    with pytest.raises(ContainerOutputRefused, match="is neither DICOM nor a file") as refused:
        run.says(container())
    assert re.search("«[ -~]+»", str(refused.value))
    assert str(refused.value).isprintable()


def test_a_file_that_its_maker_kept_to_itself_is_read(run: Run) -> None:
    """It is the node's user's."""
    save(run.seg(), run.made / "kidney.dcm")
    (run.made / "kidney.dcm").chmod(0)
    assert len(run.says(container()).segments) == 1


VOLUME = ContainerValue(key="kidney.volume", name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE, optional=True)


@pytest.mark.parametrize("said", [True, "12,5", [3], {"cm3": 3}, float("nan"), float("inf")], ids=str)
def test_what_stands_in_the_place_of_a_number_is_refused(run: Run, said: object) -> None:
    """A number that may be left out is not left out by a word in its place, and true is no cubic centimetre."""
    with pytest.raises(ContainerOutputRefused, match=r'"Volume" is no number: result\.json has «.*» at kidney\.volume'):
        run.says(container(structures=(), values=(VOLUME,)), values={"kidney": {"volume": said}})


@pytest.mark.parametrize(("said", "found"), [({"kidney": {"volume": 12}}, [12.0]), ({"kidney": {"volume": None}}, []), ({"other": 1}, [])])
def test_a_number_that_may_be_left_out(run: Run, said: object, found: list[float]) -> None:
    """It is there, or it is null, or it is not there."""
    assert [one.value for one in run.says(container(structures=(), values=(VOLUME,)), values=said).measurements] == found
