"""What headers say against an input: test objects, animals, other weightings, other parts of the body."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from inference.errors import quoted
from inference.imaging.header import read_dataset
from inference.imaging.judge.contrast import against, weighting_of
from inference.imaging.judge.errors import ComputedImages, NoAnatomy, NotAPatient, OtherContrast
from inference.imaging.judge.expects import BodyPart, Contrast, Expects
from inference.imaging.judge.judging import Judge
from inference.imaging.judge.words import no_patient
from tests.unit.imaging.judge.made import brain, found, pictured, volume_of


def header(**said: object) -> Dataset:
    made = Dataset()
    for keyword, value in said.items():
        setattr(made, keyword, value)
    return made


@pytest.mark.parametrize(
    "said",
    [
        {"SeriesDescription": "ACR_PHANTOM_T1"},
        {"PatientName": "Phantom"},
        {"PatientName": "PHANTOM^^^"},
        {"PatientName": "Phantom^3"},
        {"PatientID": "fantom-3"},
        {"StudyDescription": "Daily quality assurance"},
        {"BodyPartExamined": "PHANTOM"},
        {"QualityControlImage": "YES"},
        {"PatientSpeciesDescription": "Canis lupus familiaris"},
    ],
)
def test_test_objects_and_animals_are_declined(said: dict[str, str]) -> None:
    """Before a pixel is looked at; an application that declares no part of the body is made for anything, these among it."""
    volume = volume_of(pictured(brain()), (2.5,) * 3)
    with pytest.raises(NotAPatient):
        Judge(Expects(part=BodyPart.HEAD), volume, (header(**said),)).before()
    assert Judge(Expects(), volume, (header(**said),)).before() == ()


@pytest.mark.parametrize("character_set", ["ISO_IR 100", "ISO_IR 192"])
@pytest.mark.parametrize("words", ["Konstanzprüfung", "Prüfkörper 3", "IRM fantôme"])
def test_test_objects_are_known_in_the_characters_of_their_files(words: str, character_set: str) -> None:
    """As the bytes of a file have them, in Latin-1 and in UTF-8: headers decline both before images are read."""
    written = BytesIO()
    header(SpecificCharacterSet=character_set, SeriesDescription=words).save_as(written, implicit_vr=False, little_endian=True)
    read = dcmread(written, force=True)
    assert no_patient([read]) == f"SeriesDescription is {quoted(words)}: a test object was imaged"


@pytest.mark.parametrize(
    "said",
    [
        {"PatientName": "Fantom^Eva"},
        {"StudyDescription": "Phantomschmerz Bein rechts"},
        {"SeriesDescription": "t1_mprage_sag_p2"},
        {"QualityControlImage": "NO"},
        {"PatientSpeciesDescription": "Homo sapiens"},
        {"PatientName": "Fantom-Meier^Eva"},
        {"PatientName": "van Fantom^Jan"},
        {"StudyDescription": "MR brain, phantom limb pain left arm"},
        {"StudyDescription": "IRM cerebrale, douleur fantome"},
        {"StudyDescription": "CT chest, phantom tumor right"},
        {"PatientComments": "Phantom pain since 2019. Image quality control: passed"},
        {"ImageComments": "quality control: passed"},
        {"ReferringPhysicianName": "Phantom"},
        {"InstitutionName": "Animal and Human Hospital"},
        {"PatientSpeciesDescription": "Mensch"},
        {"PatientSpeciesDescription": "UNKNOWN"},
    ],
)
def test_people_are_taken(said: dict[str, str]) -> None:
    """A surname, a pain in a lost leg, prose of comments, and a person by species are no test objects."""
    assert no_patient([header(**said)]) == ""


@pytest.mark.parametrize(
    ("wanted", "said", "taken"),
    [
        (Contrast.T1, {"EchoTime": "2.46", "RepetitionTime": "300"}, True),
        (Contrast.T1, {}, True),
        (Contrast.T1, {"EchoTime": "93"}, False),
        (Contrast.T1, {"EchoTime": "30", "ScanningSequence": ["GR", "EP"]}, False),
        (Contrast.T1, {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]}, False),
        (Contrast.T1, {"AcquisitionContrast": "DIFFUSION"}, False),
        (Contrast.T1, {"ImageType": ["ORIGINAL", "PRIMARY", "PERFUSION", "NONE"]}, False),
        (Contrast.T1, {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}, False),
        (Contrast.T1, {"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, True),
        (Contrast.T1, {"ImageType": ["DERIVED", "PRIMARY", "M", "UNI"], "ProtocolName": "t1_mp2rage", "RepetitionTime": "5000"}, True),
        (Contrast.T1, {"SequenceName": "*epfid2d1_64"}, False),
        (Contrast.T1, {"PulseSequenceName": "epse2d1_72"}, False),
        (Contrast.T1, {"SequenceName": "*swi3d1r"}, False),
        (Contrast.T1, {"SequenceName": "*tfl3d1_16ns"}, True),
        (Contrast.T1, {"SequenceName": "*fl3d1"}, True),
        (Contrast.T1, {"DiffusionBValue": 1000.0}, False),
        (Contrast.T1, {"DiffusionBValue": 0.0}, True),
        (Contrast.T1, {"EchoTime": "12", "RepetitionTime": "3200", "ScanningSequence": ["SE"]}, False),
        (Contrast.T1, {"EchoTime": "12", "RepetitionTime": "2300", "ScanningSequence": ["SE", "IR"], "InversionTime": "860"}, True),
        (Contrast.T1, {"EchoTime": "3", "RepetitionTime": "2300", "ScanningSequence": ["GR", "IR"], "InversionTime": "900"}, True),
        (Contrast.T1, {"SeriesDescription": "AX T2 FLAIR"}, False),
        (Contrast.T1, {"SeriesDescription": "Ax T1 FLAIR"}, True),
        (Contrast.T1, {"SeriesDescription": "t2_tse_tra"}, False),
        (Contrast.T1, {"SeriesDescription": "t2_tse_tra", "ProtocolName": "t1_mprage_sag"}, True),
        (Contrast.T1, {"SeriesDescription": "T2* GRE", "EchoTime": "20"}, False),
        (Contrast.T1, {"SeriesDescription": "visit T2", "EchoTime": "3.1"}, True),
        (Contrast.T1, {"SeriesDescription": "3D TOF", "EchoTime": "3.4"}, False),
        (Contrast.T1, {"SeriesDescription": "relCBF"}, False),
        (Contrast.T1, {"SeriesDescription": "CBF"}, False),
        (Contrast.T1, {"SeriesDescription": "T1 map"}, False),
        (Contrast.T1, {"SeriesDescription": "3D T1 mp2rage +C sag"}, True),
        (Contrast.T1, {"SeriesDescription": "SAG 3D BRAVO POST"}, True),
        (Contrast.T1, {"SeriesDescription": "Brain routine", "ProtocolName": "Kopf nativ"}, True),
        (Contrast.FLAIR, {"SeriesDescription": "t2_tirm_tra_dark-fluid"}, True),
        (Contrast.FLAIR, {"SeriesDescription": "t1_mprage_sag"}, False),
        (Contrast.FLAIR, {"SeriesDescription": "DWI b1000"}, False),
        (Contrast.FLAIR, {"SeriesDescription": "T2 AX"}, True),
        (Contrast.FLAIR, {"RepetitionTime": "600"}, False),
        (Contrast.FLAIR, {"EchoTime": "120", "InversionTime": "2400"}, True),
        (Contrast.FLAIR, {"EchoTime": "0"}, True),
        (Contrast.FLAIR, {"EchoTime": "3.1", "InversionTime": "900"}, False),
        (Contrast.FLAIR, {"EchoTime": "64", "InversionTime": "140"}, False),
    ],
)
def test_contrast_by_facts_of_the_acquisition(wanted: Contrast, said: dict[str, object], taken: bool) -> None:
    """Times, kind of sequence, images and diffusion, and words where they name another weighting alone; silent headers decide nothing."""
    assert (against(wanted, weighting_of(header(**said))) == "") is taken


@pytest.mark.parametrize(
    ("series", "taken"),
    [
        ("dicom/mr_t1_3d_brain_datalad.zip", True),
        ("dicom/mr_t1_sag_HFS_decubitus.zip", True),
        ("dicom/mr_enhanced_xa30_T1.zip", True),
        ("dicom/mr_enhanced_xa30_ADC.zip", False),
        ("dicom/mr_enhanced_xa30_TRACEW.zip", False),
        ("dicom/mr_enhanced_xa30_BOLD4D.zip", False),
        ("dicom/hard/phantom_gel_epi.zip", False),
        ("dicom/hard/mr_uih_mosaic.zip", False),
        ("dicom/hard/ge_dwi_private_b_values.zip", False),
        ("dicom/hard/mr_enhanced_with_raw_data_1.zip", False),
        ("dicom/hard/mr_enhanced_with_raw_data_2.zip", False),
    ],
)
def test_real_series_by_their_contrast(real: Callable[[str], list[Path]], series: str, taken: bool) -> None:
    """T1 heads of three scanners are T1 by their headers; maps, diffusion, BOLD, labelled spins, field maps and EPI are not."""
    said = [against(Contrast.T1, weighting_of(read_dataset(path))) for path in real(series)]
    assert (not any(said)) is taken


@pytest.mark.parametrize("part", [BodyPart.HEAD, BodyPart.CHEST, BodyPart.HIPPOCAMPUS])
@pytest.mark.parametrize(
    ("image_type", "description", "taken"),
    [
        ("DERIVED\\SECONDARY\\MIP", "", False),
        ("DERIVED\\SECONDARY\\AXIAL\\MNIP", "", False),
        ("DERIVED\\PRIMARY\\PROJECTION IMAGE", "", False),
        ("DERIVED\\PRIMARY\\SUBTRACTION", "", False),
        ("ORIGINAL\\PRIMARY\\M\\SUB", "", False),
        ("DERIVED\\SECONDARY", "Thorax MIP 10/2", False),
        ("DERIVED\\SECONDARY", "minip_ax", False),
        ("DERIVED\\PRIMARY\\AXIAL\\MAT_SPECIFIC", "", False),
        ("ORIGINAL\\PRIMARY\\AXIAL\\EFF_ATOMIC_NUM", "", False),
        ("DERIVED\\PRIMARY\\AXIAL\\ELECTRON_DENSITY", "", False),
        ("DERIVED\\SECONDARY\\AXIAL", "Iodine_map 1.0", False),
        ("DERIVED\\SECONDARY\\AXIAL", "Z eff", False),
        *(
            ("DERIVED\\SECONDARY\\AXIAL", said, False)
            for said in ("DE_Iodine", "MD Iodine", "Iodine(Water)", "Z Effective", "Iodine no Water[mg/ml]", "Jodkarte", "Rho/Z", "T1 SUB")
        ),
        ("DERIVED\\SECONDARY\\AXIAL", "Subacute 1 mm", True),
        *(
            ("DERIVED\\SECONDARY\\AXIAL", said, True)
            for said in ("sub-mm thorax", "Sub 1mm", "sub-0,6 mm", "hématome sub-dural", "SUB CLAVIAN", "Score de calcium", "sub-01_CT")
        ),
        *(("DERIVED\\SECONDARY\\AXIAL", said, False) for said in ("T1 SUB 2", "SUB 1-5", "DE Water", "MD Calcium(Water)")),
        *(
            ("DERIVED\\SECONDARY\\AXIAL", said, False)
            for said in (
                "Knochensubtraktion",
                "CTA DSA 1.0",
                "Bone subtracted",
                "bone-removed CTA",
                "soustraction",
                "Iodine",
                "Iod",
                "DE Jod Ax 3.0mm",
            )
        ),
        *(("DERIVED\\SECONDARY\\AXIAL", said, True) for said in ("Thorax Jod MPR", "CT iod. KM ax 1.0", "Knochen 1.0", "bone ax")),
        *(("DERIVED\\SECONDARY\\AXIAL", said, True) for said in ("Bone sub-mm ax", "Bone / Subdural", "Kopf Bone Subdural")),
        # what may be read in many ways is not tried in all of them, for that took years
        *(("DERIVED\\SECONDARY\\AXIAL", said, True) for said in (f"Iodine{57 * '.'}x", f"Jod 1{26 * '.1'} Thorax")),
        ("DERIVED\\PRIMARY\\AXIAL\\MAT_MODIFIED", "", False),
        ("DERIVED\\PRIMARY\\AXIAL\\VMI", "MonoE 40 keV", False),
        ("DERIVED\\SECONDARY\\AXIAL", "VMI_190keV", False),
        ("DERIVED\\SECONDARY\\AXIAL", "40-keV VMI", False),
        ("DERIVED\\SECONDARY\\AXIAL", "胸部单能量50keV", False),
        ("DERIVED\\SECONDARY\\AXIAL", "胸部單能量70keV", True),
        ("DERIVED\\SECONDARY\\AXIAL", "Mono+ 50keV Br40", False),
        ("DERIVED\\PRIMARY\\AXIAL\\VMI", "", True),  # which energy is not said
        ("ORIGINAL\\PRIMARY\\AXIAL", "Thorax 1.0 Br40 70keV", True),
        ("ORIGINAL\\PRIMARY\\AXIAL", "DE 80keV/140keV", True),
        ("ORIGINAL\\PRIMARY\\AXIAL", "Thorax 120 keV", True),
        ("DERIVED\\PRIMARY\\AXIAL\\VMI", "120 keV", False),
        ("DERIVED\\PRIMARY\\AXIAL\\VMI", "Monoenergetic 70 keV", True),
        ("DERIVED\\PRIMARY\\AXIAL\\MAT_REMOVED", "VNC", True),
        ("ORIGINAL\\PRIMARY\\AXIAL", "Thorax iodine 1.0", True),
        ("ORIGINAL\\PRIMARY\\AXIAL", "Thorax 1.0 for MIP", True),
        ("DERIVED\\SECONDARY\\MPR", "Thorax ax MPR 5 mm", True),
        ("DERIVED\\SECONDARY\\AXIAL", "Kopf T1 transversal", True),
        ("", "", True),
    ],
)
def test_projections_and_differences_are_declined(part: BodyPart, image_type: str, description: str, taken: bool) -> None:
    """What is brightest along a line is no voxel; reformatted slices are. One is enough; an application of any part is not asked."""
    volume = volume_of(pictured(brain()), (2.5,) * 3)
    headers = (header(ImageType=["ORIGINAL", "PRIMARY"]), header(ImageType=image_type, SeriesDescription=description))
    judge = Judge(Expects(part=part), volume, headers)
    if taken:
        assert judge.before() == ()
        return
    with pytest.raises(ComputedImages, match=r"computed from others|computed for one energy"):
        judge.before()
    assert Judge(Expects(), volume, headers).before() == ()


@pytest.mark.parametrize(
    "said",
    [
        {"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "MAT_REMOVED"]},
        {"SeriesDescription": "Kopf VNC"},
        {"SeriesDescription": "动脉期虚拟平扫1.0"},
        {"SeriesDescription": "仮想単純"},
    ],
)
def test_what_was_made_native_is_not_native(said: dict[str, Any]) -> None:
    """Blood that was injected is computed out, and with it some of what was there: declined where images without contrast are asked for."""
    volume = volume_of(pictured(brain()), (2.5,) * 3)
    with pytest.raises(ComputedImages, match="not native"):
        Judge(Expects(part=BodyPart.HEAD, native=True), volume, (header(**said),)).before()
    assert Judge(Expects(part=BodyPart.HEAD), volume, (header(**said),)).before() == ()


@pytest.mark.parametrize(
    ("described", "why"),
    [
        ("Thorax VNC", "a material was computed out of these images"),
        ("胸部虚拟去钙", "a material was computed out of these images"),
        ("胸部平扫 增强", ""),
        ("胸部单能量图像", "these images are computed for one energy, which is not said"),
        ("Thorax Monoenergetic", "these images are computed for one energy, which is not said"),
        ("Thorax 70 keV", ""),
        ("Thorax 1.0 Br40", ""),
    ],
)
def test_what_an_application_measures_in_hu_by_itself_is_left_out_of_such_images(described: str, why: str) -> None:
    """The mean of ct-lung as a declared mean (ADR-0121): the volume stays, and the reader is told."""
    mask = brain()
    volume = volume_of(pictured(mask), (2.5,) * 3, "CT")
    made = found(volume, mask)
    said = Judge(Expects(), volume, (header(Modality="CT", SeriesDescription=described),)).after(made)
    kept, left = made.measurements
    assert said.measurements == ((kept,) if why else (kept, left))
    assert [one.partition(why)[0] for one in said.remarks] == (["Not measured: what is in HU, because "] if why else [])


def test_energy_and_derivation_are_read_where_they_are_coded() -> None:
    """In the sequences that are made for it, of classic images and of frames (PS3.3 C.8.15.3.12, C.7.6.1.1.3); of a CT alone."""
    volume = volume_of(pictured(brain()), (2.5,) * 3)
    energy, groups, code = Dataset(), Dataset(), Dataset()
    energy.MonoenergeticEnergyEquivalent = 40.0
    groups.MultienergyCTCharacteristicsSequence = [energy]
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "113062", "DCM", "Pixel by pixel subtraction"
    for said in (
        header(Modality="CT", MultienergyCTCharacteristicsSequence=[energy]),
        header(Modality="CT", SharedFunctionalGroupsSequence=[groups], PerFrameFunctionalGroupsSequence=[Dataset(), Dataset()]),
    ):
        with pytest.raises(ComputedImages, match="computed for one energy, 40 keV"):
            Judge(Expects(part=BodyPart.HEAD), volume, (said,)).before()
    energy.MonoenergeticEnergyEquivalent = 0.0  # left there by a writer that computed no such image
    assert (
        Judge(Expects(part=BodyPart.HEAD), volume, (header(Modality="CT", MultienergyCTCharacteristicsSequence=[energy]),)).before() == ()
    )
    with pytest.raises(ComputedImages, match="DerivationCodeSequence has 113062"):
        Judge(Expects(part=BodyPart.HEAD), volume, (header(DerivationCodeSequence=[code]),)).before()
    assert Judge(Expects(part=BodyPart.HEAD), volume, (header(Modality="MR", SeriesDescription="MONO 40 keV"),)).before() == ()


@pytest.mark.parametrize("unit", ["MGML", "%EDW", "Z_EFF", "PCT", "ED", "EDW", "HU", "US", ""])
def test_values_in_another_unit_than_attenuation_are_declined(unit: str) -> None:
    """Of spectral CT, whatever ImageType says (PS3.3 C.11.1.1.2); US is unspecified."""
    volume = volume_of(pictured(brain()), (2.5,) * 3)
    judge = Judge(Expects(part=BodyPart.HEAD), volume, (header(ImageType=["ORIGINAL", "PRIMARY", "AXIAL"], RescaleType=unit),))
    if unit in ("HU", "US", ""):
        assert judge.before() == ()
        return
    with pytest.raises(ComputedImages, match=f"RescaleType is {unit}: the images were computed from others"):
        judge.before()


@pytest.mark.parametrize("shared", [True, False])
def test_frames_of_a_multi_frame_image_say_their_unit(shared: bool) -> None:
    """In the functional groups, shared or its own: the data set around them says nothing of it."""
    groups, mapping = Dataset(), Dataset()
    mapping.RescaleType = "MGML"
    groups.PixelValueTransformationSequence = [mapping]
    image = header(ImageType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])
    image.SharedFunctionalGroupsSequence = [groups if shared else Dataset()]
    image.PerFrameFunctionalGroupsSequence = [Dataset(), Dataset() if shared else groups]
    with pytest.raises(ComputedImages, match="RescaleType is MGML"):
        Judge(Expects(part=BodyPart.CHEST), volume_of(pictured(brain()), (2.5,) * 3, "CT"), (image,)).before()


def test_another_part_of_the_body_is_told_and_another_contrast_declined() -> None:
    """Body parts are typed by people; echo times are not."""
    volume = volume_of(pictured(brain()), (2.5,) * 3)
    expects = Expects(part=BodyPart.HEAD, contrast=Contrast.T1)
    (caution,) = Judge(expects, volume, (header(BodyPartExamined="KNEE"),)).before()
    assert "KNEE" in caution.sentence
    assert "not the head" in caution.sentence
    (caution,) = Judge(expects, volume, (header(BodyPartExamined="ABDOMEN"),)).before()
    assert "ABDOMEN" in caution.sentence
    # in Chinese, and the head in Portuguese
    for said in ("\u5934\u90e8", "CABECA"):
        assert Judge(expects, volume, (header(BodyPartExamined=said),)).before() == ()
    assert Judge(expects, volume, (header(BodyPartExamined="BRAIN"), header(BodyPartExamined=""))).before() == ()
    with pytest.raises(OtherContrast, match="in 2 of 3 images"):
        Judge(expects, volume, (header(EchoTime="90"), header(EchoTime="90"), header())).before()


@pytest.mark.parametrize("part", [BodyPart.HEAD, BodyPart.HIPPOCAMPUS])
def test_masks_are_declined(part: BodyPart) -> None:
    """A crop of two values, of which a hippocampus of usual size was measured; every voxel was as bright as nothing is in a patient."""
    voxels = np.where(pictured(brain()) > 500, 1000, 0).astype(np.int16)
    with pytest.raises(NoAnatomy, match="2 values only"):
        Judge(Expects(part=part), volume_of(voxels, (2.5,) * 3), ()).before()


def test_lungs_need_air() -> None:
    """Values that are no HU (an offset of 1024 left out) are declined for a chest, and taken where no chest is expected."""
    voxels = (pictured(brain()) + 20).astype(np.int16)
    volume = volume_of(voxels, (2.5,) * 3, "CT")
    with pytest.raises(NoAnatomy, match="no HU"):
        Judge(Expects(part=BodyPart.CHEST), volume, ()).before()
    assert Judge(Expects(), volume, ()).before() == ()


@pytest.mark.parametrize(("slope", "offset"), [(1.0, -1024), (0.5, -512), (2.0, 1024)])
def test_lungs_need_soft_tissue_around_them(slope: float, offset: float) -> None:
    """A slope or an intercept that is not the images' own leaves air dark, and nothing where muscle is: every search found nothing."""
    voxels = np.where(pictured(brain()) > 300, 40, -900)
    voxels[:, :4] = -1000
    expects = Expects(part=BodyPart.CHEST)
    assert Judge(expects, volume_of(voxels.astype(np.int16), (2.5,) * 3, "CT"), ()).before() == ()
    with pytest.raises(NoAnatomy, match="denser than lung 0 % has -200 to 200 HU"):
        Judge(expects, volume_of((voxels * slope + offset).astype(np.int16), (2.5,) * 3, "CT"), ()).before()


def test_a_head_on_ct_that_nothing_rescales_needs_air_below_zero() -> None:
    """Stored values from 0 on are no HU; what says how it is rescaled, or has values below 0, is taken."""
    voxels = np.maximum(pictured(brain()), 0).astype(np.int16)
    expects, volume = Expects(part=BodyPart.HEAD), volume_of(voxels, (2.5,) * 3, "CT")
    with pytest.raises(NoAnatomy, match="RescaleSlope and RescaleIntercept are absent and no value is below 0"):
        Judge(expects, volume, (header(),)).before()
    assert Judge(expects, volume, (header(RescaleSlope=1, RescaleIntercept=0),)).before() == ()
    assert Judge(expects, volume_of((voxels - 1000).astype(np.int16), (2.5,) * 3, "CT"), (header(),)).before() == ()


@pytest.mark.parametrize(
    ("contrast", "said", "told"),
    [
        (Contrast.FLAIR, {}, True),
        (Contrast.FLAIR, {"EchoTime": 120.0}, False),
        (Contrast.FLAIR, {"AcquisitionContrast": "FLUID_ATTENUATED"}, False),
        (Contrast.FLAIR, {"AcquisitionContrast": "UNKNOWN"}, True),
        (Contrast.T1, {}, False),
    ],
)
def test_images_that_do_not_say_how_they_were_weighted(contrast: Contrast, said: dict[str, object], told: bool) -> None:
    """Bright spots of T1 images are no lesions: where no header says what they are, the reader is told; a head has one size on both."""
    volume = volume_of(pictured(brain()), (2.5,) * 3)
    cautions = Judge(Expects(part=BodyPart.HEAD, contrast=contrast), volume, (header(**said),)).before()
    assert [caution.sentence[:49] for caution in cautions] == ["The images do not say how they were weighted: loo"] * told
    # where one says it, those that do not are of the same series
    assert (
        Judge(
            Expects(part=BodyPart.HEAD, contrast=contrast),
            volume,
            (header(**said), header(EchoTime=0.0 if contrast is Contrast.T1 else 120.0)),
        ).before()
        == ()
    )
