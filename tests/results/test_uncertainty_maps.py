"""Maps of uncertainty, read by dcmqi, dciodvfy and by hand: every value in its place, what it is, and that it is no finding."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from inference import codes
from inference.applications.entropy import ENTROPY
from inference.findings import Findings, Uncertainty
from inference.imaging.assemble import assemble
from node.domain.profile import VIEWER, Kind, Language
from node.results.check import check
from node.results.encode import encode
from node.results.port import Encoded, Encoding, MapDiffers, ResultMalformed
from node.results.sources import read_sources
from tests.lab.itk import paramap2itkimage
from tests.lab.validators import dcentvfy, dciodvfy
from tests.results import made

ASKS = replace(VIEWER, kinds=VIEWER.kinds | {Kind.UNCERTAINTY_MAP})


def encoding(folder: Path, name: str = "axial", **more: object) -> Encoding:
    files = made.series(folder / "in", made.ORIENTATIONS[name])
    volume = assemble(files)
    values = np.random.default_rng(7).random(volume.voxels.shape, dtype=np.float32)
    found = Uncertainty(label=ENTROPY, values=values, quantity=codes.NORMALISED_ENTROPY)
    return made.encoding(files, Findings(uncertainties=(found,)), volume=volume, **{"profiles": (ASKS,), **more})


def only(objects: list[Encoded]) -> Encoded:
    (found,) = (one for one in objects if one.kind == Kind.UNCERTAINTY_MAP)
    return found


def read(one: Encoded) -> Dataset:
    return pydicom.dcmread(BytesIO(one.data))


@pytest.mark.peers
@pytest.mark.parametrize("name", made.ORIENTATIONS)
def test_dcmqi_reads_every_value_where_it_was_computed(tmp_path: Path, name: str) -> None:
    """However the patient lay: 3D Slicer's converter gives back the very same numbers; no validator objects."""
    given = encoding(tmp_path, name)
    (found,), volume = given.findings.uncertainties, given.volume
    (path,) = made.save([only(encode(given))], tmp_path)
    back = paramap2itkimage(path)
    for z, y, x in ((0, 0, 0), (8, 12, 10), (3, 7, 2)):
        assert back.at((volume.affine @ (z, y, x, 1))[:3]) == found.values[z, y, x]
    assert dciodvfy(path) == []
    assert dcentvfy([*(tmp_path / "in").iterdir(), path]) == []


def test_the_map_says_what_its_values_are_and_that_it_is_no_finding(tmp_path: Path) -> None:
    """A code for the quantity, no unit, the identity as mapping; research, and in the series that people choose from: no finding."""
    dataset = read(only(encode(encoding(tmp_path))))
    (mapping,) = dataset.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    concept = mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0]
    assert (concept.CodeValue, concept.CodingSchemeDesignator) == ("ENTROPY", "99HILUM")
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1.0, 0.0)
    assert dataset.ContentQualification == "RESEARCH"
    assert dataset.ContentLabel == "UNCERTAINTY_MAP"
    assert dataset.ContentDescription == "Entropy, how unsure the network is: no finding"
    assert "no finding" in dataset.SeriesDescription


def test_in_chinese_it_says_the_same(tmp_path: Path) -> None:
    """Where all sinks read Chinese first."""
    asks = replace(ASKS, languages=(Language.CHINESE,))
    dataset = read(only(encode(encoding(tmp_path, profiles=(asks,)))))
    assert dataset.ContentDescription == "熵，网络的不确定程度：不表示病变"
    assert "不表示病变" in dataset.SeriesDescription


@pytest.mark.parametrize("language", Language)
def test_a_long_name_is_cut_and_one_that_begins_another_is_another(tmp_path: Path, language: Language) -> None:
    """Any label that an element holds; each object is read back as its own map, and still says whole that it is no finding."""
    given = encoding(tmp_path, profiles=(replace(ASKS, languages=(language,)),))
    (one,) = given.findings.uncertainties
    others = [replace(one, label=label, values=1 - one.values) for label in ("Entropy of lobes", "L" * 64)]
    given = replace(given, findings=Findings(uncertainties=(one, *others)))
    ending = {Language.ENGLISH: ", how unsure the network is: no finding", Language.CHINESE: "，网络的不确定程度：不表示病变"}[language]
    said = [read(each).ContentDescription for each in encode(given) if each.kind == Kind.UNCERTAINTY_MAP]
    check(encode(given), given, read_sources(given))
    assert said[1:] == [f"Entropy of lobes{ending}", "L" * (64 - len(ending)) + ending]


def test_it_is_made_only_where_a_profile_asks_for_it(tmp_path: Path) -> None:
    """The viewer's own profile has none."""
    assert Kind.UNCERTAINTY_MAP not in {one.kind for one in encode(encoding(tmp_path, profiles=(VIEWER,)))}


def test_a_map_that_was_written_otherwise_is_refused(tmp_path: Path) -> None:
    """Another value, a series that does not say what it is not, a quantity that it does not have."""
    given = encoding(tmp_path)
    sources, good = read_sources(given), only(encode(given))
    values = np.frombuffer(read(good).FloatPixelData, dtype="<f4").copy()
    values[5] = 0.25
    for changes, refused in (
        ({"FloatPixelData": values.tobytes()}, MapDiffers),
        ({"SeriesDescription": "Lesions"}, ResultMalformed),
        ({"ContentDescription": "Other, how unsure the network is: no finding"}, MapDiffers),
    ):
        with pytest.raises(refused):
            check([made.tampered(good, **changes)], given, sources)
