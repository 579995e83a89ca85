"""What holds for every kind of result object, whatever is in it: marks, times, references, names, and the same bytes every time."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from docs.example_results import Example, examples
from node.domain.profile import Kind
from node.results.port import Encoded
from tests.lab.needs import program

pytestmark = pytest.mark.slow

REPORTS = {Kind.SR, Kind.DETECTIONS, Kind.NARRATIVE}


@pytest.fixture(scope="module", params=[0, 1], ids=["first hospital", "second hospital"])
def hospital(request: pytest.FixtureRequest) -> Example:
    """One of the two hospitals that the reference pages are read from."""
    return examples()[int(request.param)]


def read(one: Encoded) -> Dataset:
    """The object as anybody reads it."""
    return pydicom.dcmread(BytesIO(one.data))


def elements(dataset: Dataset) -> Iterator[DataElement]:
    """Every element, those of items of items too."""
    for element in dataset:
        yield element
        if element.VR == "SQ":
            for item in element.value:
                yield from elements(item)


def test_the_hospitals_have_every_kind(hospital: Example) -> None:
    """Otherwise the tests below, and the pages, would pass over one."""
    assert {one.kind for one in hospital.objects} == set(Kind)


def test_every_object_says_what_it_is(hospital: Example) -> None:
    """Result case 25: the equipment item of IHE AI Results with a DeviceUID, RESEARCH, a new series that names application and version, and
    the patient and study of its source, issuer and description included."""
    source = hospital.sources[0]
    for one in hospital.objects:
        dataset = read(one)
        equipment = dataset.ContributingEquipmentSequence[0]
        purpose = equipment.PurposeOfReferenceCodeSequence[0]
        assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("109102", "DCM"), one.kind
        assert equipment.DeviceUID.startswith("2.25."), one.kind
        assert {"Manufacturer", "ManufacturerModelName", "SoftwareVersions"} <= set(equipment.dir()), one.kind
        assert dataset.ContentQualification == "RESEARCH", one.kind
        assert "mr-example" in dataset.SeriesDescription, one.kind
        assert dataset.SeriesInstanceUID not in {header.SeriesInstanceUID for header in hospital.sources}, one.kind
        for keyword in ("PatientName", "PatientID", "IssuerOfPatientID", "StudyInstanceUID", "StudyDescription", "AccessionNumber"):
            assert dataset[keyword].value == source[keyword].value, (one.kind, keyword)
        assert dataset.SpecificCharacterSet == "ISO_IR 192", one.kind


def test_every_report_is_preliminary_and_has_its_evidence(hospital: Example) -> None:
    """Result case 25: PRELIMINARY, UNVERIFIED; every instance that the content names stands in the evidence; groups are tracked."""
    for one in hospital.objects:
        if one.kind not in REPORTS:
            continue
        dataset = read(one)
        assert (dataset.PreliminaryFlag, dataset.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED"), one.kind
        evidence = {
            instance.ReferencedSOPInstanceUID
            for name in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
            for study in dataset.get(name, ())
            for series in study.ReferencedSeriesSequence
            for instance in series.ReferencedSOPSequence
        }
        content = [element for item in dataset.ContentSequence for element in elements(item)]
        referred = {element.value for element in content if element.keyword == "ReferencedSOPInstanceUID"}
        assert referred
        assert referred <= evidence, one.kind
        if one.kind is not Kind.NARRATIVE:
            measurements = next(item for item in dataset.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "126010")
            for group in measurements.ContentSequence:
                names = [item.ConceptNameCodeSequence[0].CodeValue for item in group.ContentSequence]
                assert {"112039", "112040"} <= set(names), (one.kind, names)


def test_every_time_is_the_journals_or_the_studys(hospital: Example) -> None:
    """No date of today, no time of encoding: what is written is the moment of the findings in the study's zone, or the sources' own."""
    zone = hospital.sources[0].TimezoneOffsetFromUTC
    of_sources = {str(element.value) for header in hospital.sources for element in elements(header) if element.VR in {"DA", "TM", "DT"}}
    for one in hospital.objects:
        dataset = read(one)
        assert dataset.TimezoneOffsetFromUTC == zone, one.kind
        own = {(dataset[f"{stem}Date"].value, dataset[f"{stem}Time"].value) for stem in ("InstanceCreation", "Series", "Content")}
        assert len(own) == 1, (one.kind, own)
        (date, time) = own.pop()
        made = {date, time, f"{date}{time}{zone}", f"{date}{time}", ""}
        for element in elements(dataset):
            if element.VR in {"DA", "TM", "DT"}:
                assert str(element.value) in made | of_sources, (one.kind, element)


def test_no_two_objects_share_a_name(hospital: Example) -> None:
    """SOP Instance UIDs are unique; only the images of one derived volume share a series."""
    uids = [one.sop_instance_uid for one in hospital.objects]
    assert len(set(uids)) == len(uids)
    alone = [one.series_instance_uid for one in hospital.objects if one.kind is not Kind.DERIVED]
    assert len(set(alone)) == len(alone)
    assert not set(alone) & {one.series_instance_uid for one in hospital.objects if one.kind is Kind.DERIVED}


_AGAIN = """
import hashlib, time
from docs.example_results import examples
print(time.gmtime().tm_year)
for hospital in examples():
    for one in hospital.objects:
        print(one.kind, one.form, one.sop_instance_uid, hashlib.sha256(one.data).hexdigest())
"""


@pytest.mark.peers
def test_encoding_again_in_another_year_gives_the_same_bytes() -> None:
    """Result case 24: every kind, in another process with another hash seed, locale, time zone and clock (libfaketime), years on: not one
    byte differs."""
    here = [
        f"{one.kind} {one.form} {one.sop_instance_uid} {hashlib.sha256(one.data).hexdigest()}"
        for example in examples()
        for one in example.objects
    ]
    environment = {**os.environ, "PYTHONHASHSEED": "11", "TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONWARNINGS": "ignore"}
    later = [str(program("faketime", "faketime")), "2034-05-06 07:08:09", sys.executable, "-c"]
    root = Path(__file__).parents[2]
    again = subprocess.run([*later, _AGAIN], capture_output=True, text=True, env=environment, check=True, cwd=root).stdout.splitlines()
    assert again[0] == "2034"
    assert again[1:] == here
