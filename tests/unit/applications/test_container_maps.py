"""Parametric Maps that a container wrote, as findings: a value for every voxel of the images, in the declared unit, or a sentence."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as concepts
from pydicom.uid import EncapsulatedPDFStorage

from inference.applications.container.described import ContainerManifest, ContainerMap, Contract
from inference.applications.container.errors import ContainerOutputRefused
from inference.applications.container.manifest import application_of, from_text, to_text
from inference.applications.container.output import read_made
from inference.applications.container.reading import found_in
from inference.applications.port import Accepts, SaliencyOutput
from inference.codes import Code
from inference.findings import Findings
from inference.imaging.assemble import assemble
from inference.imaging.write_series import write_series
from tests.lab.modules.writing import parametric_map, save

ADC, UNIT = Code("113041", "DCM", "Apparent Diffusion Coefficient"), Code("um2/s", "UCUM", "square micrometer per second")
MAP = ContainerMap(label="ADC", quantity=ADC, unit=UNIT)
SHAPE = (4, 6, 8)
VALUES = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)


def container(**said: Any) -> ContainerManifest:
    """One that makes a map of diffusion."""
    return ContainerManifest(
        name="mr-adc",
        version="1.0.0",
        title="Diffusion",
        image="sha256:" + 64 * "0",
        contract=Contract.FOLDER,
        accepts=Accepts(modality=("MR",)),
        given_at="/input",
        made_at="/output",
        **{"maps": (MAP,), **said},
    )


class Run:
    """An MR of four slices, and the folder in which a module leaves its map."""

    def __init__(self, folder: Path) -> None:
        affine = np.array([[0.0, 0, 1, -10], [0, 1, 0, -12], [2, 0, 0, 5], [0, 0, 0, 1]])
        files = write_series(np.ones(SHAPE, np.int16), affine, folder / "mr", modality="MR")
        self.volume = assemble(files)
        self.images = sorted((dcmread(file) for file in files), key=lambda image: float(image.ImagePositionPatient[2]))
        self.made = folder / "made"
        self.made.mkdir()

    def map(self) -> Dataset:
        """As a made module writes it, with pydicom alone."""
        code, unit = ((one.value, one.scheme, one.meaning) for one in (ADC, UNIT))
        return parametric_map(self.images, [one.reshape(-1).tolist() for one in VALUES], code, unit)

    def says(self, made: Dataset | None, manifest: ContainerManifest | None = None) -> Findings:
        """What a job finds of it."""
        if made is not None:
            save(made, self.made / "adc.dcm")
        manifest = manifest or container()
        instances = frozenset(str(image.SOPInstanceUID) for image in self.images)
        return found_in(manifest, self.volume, read_made(manifest, self.made, self.images[0], instances), ())


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_the_values_are_those_of_the_voxels_whatever_the_order_of_frames(run: Run) -> None:
    """Stored as half of what they are, from the head to the feet."""
    made = run.map()
    made.PerFrameFunctionalGroupsSequence = list(reversed(made.PerFrameFunctionalGroupsSequence))
    made.FloatPixelData = (VALUES[::-1] / 2).tobytes()
    (found,) = run.says(made).saliencies
    np.testing.assert_array_equal(found.values, VALUES)
    assert (found.label, found.quantity, found.unit, found.values.dtype.str) == ("ADC", ADC, UNIT, "<f4")


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint16])
def test_a_map_of_another_library_is_read(run: Run, kind: type[np.generic]) -> None:
    """highdicom's, of each kind of stored values that the standard has."""
    item = hd.pm.RealWorldValueMapping(
        lut_label="ADC",
        lut_explanation="ADC",
        unit=concepts.UCUM.SquareMicrometerPerSecond,
        value_range=(0, 255) if kind is np.uint16 else (0.0, 255.0),
        slope=2.0,
        intercept=1.0,
        quantity_definition=concepts.DCM.ApparentDiffusionCoefficient,
    )
    made = hd.pm.ParametricMap(
        source_images=run.images,
        pixel_array=VALUES.astype(kind),
        series_instance_uid=hd.UID(),
        series_number=9,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="x",
        manufacturer_model_name="x",
        software_versions="x",
        device_serial_number="x",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[item],
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=1, window_width=2)],
    )
    (found,) = run.says(made).saliencies
    np.testing.assert_array_equal(found.values, 2 * VALUES + 1)


def _mapping(made: Dataset) -> Dataset:
    found: Dataset = made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    return found


def _other_unit(made: Dataset) -> None:
    _mapping(made).MeasurementUnitsCodeSequence[0].CodeValue = "mm2/s"


def _other_quantity(made: Dataset) -> None:
    _mapping(made).QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue = "113048"


def _no_quantity(made: Dataset) -> None:
    del made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence


def _no_definition(made: Dataset) -> None:
    del _mapping(made).QuantityDefinitionSequence


def _no_number(made: Dataset) -> None:
    made.FloatPixelData = np.full(SHAPE, np.nan, np.float32).tobytes()


def _too_few(made: Dataset) -> None:
    made.PerFrameFunctionalGroupsSequence = made.PerFrameFunctionalGroupsSequence[:-1]


def _one_place(made: Dataset) -> None:
    one, other = made.PerFrameFunctionalGroupsSequence[:2]
    other.PlanePositionSequence = one.PlanePositionSequence


def _beside(made: Dataset) -> None:
    made.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient[0] += 0.5


def _another_frame(made: Dataset) -> None:
    made.FrameOfReferenceUID += ".1"


def _stranger(made: Dataset) -> None:
    made.PerFrameFunctionalGroupsSequence[1].DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"


def _another_patient(made: Dataset) -> None:
    made.PatientID = "SOMEBODY"


def _cut(made: Dataset) -> None:
    made.FloatPixelData = made.FloatPixelData[:-8]


def _a_table(made: Dataset) -> None:
    del _mapping(made).RealWorldValueSlope


def _two_ranges(made: Dataset) -> None:
    one = _mapping(made)
    other = deepcopy(one)
    one.DoubleFloatRealWorldValueFirstValueMapped, one.DoubleFloatRealWorldValueLastValueMapped = 0.0, 50.0
    other.DoubleFloatRealWorldValueFirstValueMapped, other.DoubleFloatRealWorldValueLastValueMapped = 50.0, 1000.0
    other.RealWorldValueSlope = 20.0
    made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence = [one, other]


def _beyond_its_range(made: Dataset) -> None:
    _mapping(made).DoubleFloatRealWorldValueFirstValueMapped = 0.0
    _mapping(made).DoubleFloatRealWorldValueLastValueMapped = 50.0


def _padding(made: Dataset) -> None:
    made.FloatPixelPaddingValue = 0.0


def _padding_to(made: Dataset) -> None:
    made.FloatPixelPaddingValue, made.FloatPixelPaddingRangeLimit = -1000.0, 1.0


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_other_unit, '«adc.dcm» has "ADC" in «mm2/s», container.yaml in um2/s'),
        (_other_quantity, "«adc.dcm» is a map of «DCM:113048», which container.yaml does not declare"),
        (_no_quantity, "does not say what its values are"),
        (_no_definition, "does not say what its values are: its Real World Value Mapping has no Quantity Definition Sequence"),
        (_no_number, "has values that are no numbers"),
        (_too_few, "has 3 frames for 4 images; a map has a value for every voxel"),
        (_one_place, "has two frames for one image"),
        (_beside, "has a frame that lies on no image of the series"),
        (_another_frame, "lies in another frame of reference"),
        (_stranger, "says that it was made of «1.2.3», which is none of the images"),
        (_another_patient, "of another patient or study"),
        (_cut, "is a map that cannot be read"),
        (_a_table, "maps its values by a table"),
        (_two_ranges, "maps the values of a frame by 2 mappings"),
        (_beyond_its_range, "has stored values beyond the range that it maps (0.0 to 50.0)"),
        (_padding, "has voxels that it calls padding"),
        (_padding_to, "has voxels that it calls padding"),
    ],
)
def test_a_map_that_is_none_of_these_images_is_refused(run: Run, spoil: Callable[[Dataset], None], sentence: str) -> None:
    """With what is wrong; nothing of it is used."""
    spoil(made := run.map())
    with pytest.raises(ContainerOutputRefused) as refused:
        run.says(made)
    assert sentence in str(refused.value)


def test_a_map_that_did_not_come_is_told_unless_it_may_be_left_out(run: Run) -> None:
    (run.made / "result.json").write_text("{}")
    with pytest.raises(ContainerOutputRefused, match="it wrote nothing"):
        run.says(None)
    (run.made / "result.json").write_text('{"done": true}')
    with pytest.raises(ContainerOutputRefused, match='it made no map "ADC"'):
        run.says(None)
    optional = ContainerMap(label="ADC", quantity=ADC, unit=UNIT, optional=True)
    assert run.says(None, container(maps=(optional,))).saliencies == ()


def test_a_pdf_is_refused_with_why(run: Run) -> None:
    """Whose it is stands on its pages, which no program here reads; `ignore` leaves it out."""
    made = run.map()
    made.SOPClassUID, made.Modality = EncapsulatedPDFStorage, "DOC"
    with pytest.raises(
        ContainerOutputRefused, match=r"«adc\.dcm» is an Encapsulated PDF: whose it is and what it claims nothing can check"
    ):
        run.says(made)


def test_what_is_entered_of_maps_is_read_back_and_declared() -> None:
    manifest = container()
    assert from_text(to_text(manifest), "here") == manifest
    assert application_of(manifest).outputs == (SaliencyOutput(label="ADC"),)
