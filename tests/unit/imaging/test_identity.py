"""Identity check: which headers may be analysed as one, what a reader is told of those that may, and that pixels of two patients never
become one volume. Expected answers are the hand's: of the rule "one over the volume; empty on all is one, empty on some is none"."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.imaging.errors import MixedIdentity, UnfitPrior
from inference.imaging.identity import Identity, one_identity, same_patient
from inference.imaging.subject import Takes
from inference.imaging.subjects import subjects
from tests.unit.imaging.conftest import one_instance, save

A = Identity(
    patient_id="4711", issuer="HOSPITAL", study_instance_uid="1.2", patient_name="Doe^Jane", birth_date="19700101", sex="F", accession="9"
)


def _with(**changes: str) -> list[tuple[str, Identity]]:
    return [("1.1", A), ("1.2", A), ("1.3", replace(A, **changes))]


def test_equal_headers_are_one_and_nothing_is_said() -> None:
    assert one_identity(_with()) == ()


@pytest.mark.parametrize("empty", [{}, {"patient_id": "4711"}], ids=["all is empty", "the issuer is empty"])
def test_empty_on_all_is_one(empty: dict[str, str]) -> None:
    """Images that were de-identified by blanking are still of one patient, as far as anybody can say."""
    assert one_identity([(uid, Identity(**empty)) for uid in ("1.1", "1.2")]) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"patient_id": "0815"},
        {"patient_id": ""},
        {"issuer": "CLINIC"},
        {"issuer": ""},
        {"study_instance_uid": "1.3"},
        {"study_instance_uid": ""},
    ],
    ids=lambda changes: next(f"{name} {value or 'empty'}" for name, value in changes.items()),
)
def test_another_patient_issuer_or_study_or_none_on_some_is_refused(changes: dict[str, str]) -> None:
    """The message names the instance that stands apart and no patient: it is shown to people who may not see one."""
    with pytest.raises(MixedIdentity, match=r"3 images .* 2 values of (PatientID|StudyInstanceUID).*; apart: 1\.3") as refused:
        one_identity(_with(**changes))
    assert not any(secret in str(refused.value) for secret in ("4711", "0815", "HOSPITAL", "CLINIC", "Doe"))


@pytest.mark.parametrize(
    ("changes", "keyword"),
    [
        ({"patient_name": "Roe^Jane"}, "PatientName"),
        ({"birth_date": "19700102"}, "PatientBirthDate"),
        ({"sex": ""}, "PatientSex"),
        ({"accession": "10"}, "AccessionNumber"),
    ],
)
def test_name_birth_date_sex_and_accession_are_remarked(changes: dict[str, str], keyword: str) -> None:
    assert one_identity(_with(**changes)) == (
        f"The images of this series do not agree in {keyword}: make sure that they are of one patient.",
    )


def test_several_differences_are_one_remark() -> None:
    (said,) = one_identity(_with(sex="M", accession="10", patient_name="Roe^John"))
    assert said.startswith("The images of this series do not agree in PatientName, PatientSex and AccessionNumber:")


def test_a_prior_may_have_another_study_name_and_accession_but_no_other_patient() -> None:
    prior = [("2.1", Identity(**{**_fields(A), "study_instance_uid": "2.2", "accession": "8", "patient_name": "Maiden^Jane"}))]
    assert same_patient([("1.1", A)], prior) == ()
    with pytest.raises(MixedIdentity):
        same_patient([("1.1", A)], [("2.1", Identity(**{**_fields(A), "patient_id": "0815"}))])
    (said,) = same_patient([("1.1", A)], [("2.1", Identity(**{**_fields(A), "birth_date": "19800101"}))])
    assert "PatientBirthDate" in said


def _fields(one: Identity) -> dict[str, str]:
    return asdict(one)


# ---- over files


def _series(folder: Path, change: Callable[[int], dict[str, Any]] = lambda number: {}, series: str = "1.2.3.4") -> list[Path]:
    """Eight slices of 4 x 4 pixels of patient 4711; `change` says what the header of each has besides, by its number from 1."""
    said: dict[str, Any] = {"PatientID": "4711", "PatientName": "Doe^Jane", "SeriesInstanceUID": series}
    return [
        save(
            one_instance(np.full((4, 4), number, np.uint16), number, **{**said, "SOPInstanceUID": f"{series}.{number}", **change(number)}),
            folder / f"{series}.{number}.dcm",
        )
        for number in range(1, 9)
    ]


def _from_the_fifth(**changes: Any) -> Callable[[int], dict[str, Any]]:
    return lambda number: changes if number > 4 else {}


def test_slices_of_two_patients_in_one_series_are_no_volume(tmp_path: Path) -> None:
    """Slices 1 to 4 of one patient and 5 to 8 of another lie evenly and have one size: nothing but the identity tells them apart."""
    files = _series(tmp_path, _from_the_fifth(PatientID="0815"))
    with pytest.raises(MixedIdentity) as refused:
        subjects(Takes.VOLUME, "refuse", files, "1.2.3.4")
    assert refused.value.code == "HLM-3030"


@pytest.mark.parametrize("takes", [Takes.VOLUME, Takes.IMAGES])
@pytest.mark.parametrize("changes", [{"PatientID": ""}, {"StudyInstanceUID": "1.2.9"}, {"IssuerOfPatientID": "CLINIC"}])
def test_neither_volumes_nor_views_are_put_together_of_several(takes: Takes, changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(MixedIdentity):
        subjects(takes, "each", _series(tmp_path, _from_the_fifth(**changes)), "1.2.3.4")


@pytest.mark.parametrize("vr", [b"L_", b"FD"], ids=["no VR", "too short for its VR"])
@pytest.mark.parametrize(("other", "fits"), [("4712", False), ("4711", True)])
def test_an_id_that_cannot_be_read_equals_nothing_but_itself(vr: bytes, other: str, fits: bool, tmp_path: Path) -> None:
    """Four slices each of two patients whose IDs stand under a damaged VR are no volume; eight of one are."""
    files = _series(tmp_path, _from_the_fifth(PatientID=other))
    for path in files:
        path.write_bytes(path.read_bytes().replace(b"\x10\x00\x20\x00LO", b"\x10\x00\x20\x00" + vr))
    if fits:
        assert len(subjects(Takes.VOLUME, "refuse", files, "1.2.3.4")[0].subject.sources) == 8
    else:
        with pytest.raises(MixedIdentity):
            subjects(Takes.VOLUME, "refuse", files, "1.2.3.4")


def test_a_blanked_series_is_one_and_a_differing_name_is_remarked(tmp_path: Path) -> None:
    """Eight slices either way; the sentence stands among what the reader is told."""
    blank = _series(tmp_path, lambda number: {"PatientID": "", "PatientName": ""}, series="1.2.3.6")
    (one,) = subjects(Takes.VOLUME, "refuse", blank, "1.2.3.6")
    assert one.remarks == ()
    (other,) = subjects(Takes.VOLUME, "refuse", _series(tmp_path, _from_the_fifth(PatientName="Roe^Jane")), "1.2.3.4")
    assert len(other.subject.sources) == 8
    assert other.remarks == ("The images of this series do not agree in PatientName: make sure that they are of one patient.",)


def test_one_name_in_two_character_sets_is_one_name(tmp_path: Path) -> None:
    """An archive wrote UTF-8 where the scanner wrote Latin-1, and cut off empty components: the name and the ID are the same text."""

    def change(number: int) -> dict[str, Any]:
        late = number > 4
        return {
            "SpecificCharacterSet": "ISO_IR 192" if late else "ISO_IR 100",
            "PatientName": "M\u00fcller^J\u00f6rg" if late else "M\u00fcller^J\u00f6rg^^^",
            "PatientID": "4711\u00fc",
        }

    files = _series(tmp_path, change)
    assert "M\u00fcller".encode("latin-1") in files[0].read_bytes()
    assert "M\u00fcller".encode() in files[7].read_bytes()
    (one,) = subjects(Takes.VOLUME, "refuse", files, "1.2.3.4")
    assert one.remarks == ()


@pytest.mark.parametrize(("patient", "fits"), [("4711", True), ("0815", False), ("", False)])
def test_a_prior_must_be_the_same_patients(patient: str, fits: bool, tmp_path: Path) -> None:
    """One that is not is left out as any prior that does not fit: today's study is routed again without it."""
    today = _series(tmp_path)
    prior = _series(tmp_path, lambda number: {"PatientID": patient, "StudyInstanceUID": "1.2.1"}, series="1.2.1.4")
    if fits:
        assert subjects(Takes.PAIR, "refuse", [*today, *prior], "1.2.3.4", dict.fromkeys(prior, "prior"))[0].remarks == ()
    else:
        with pytest.raises(UnfitPrior, match="2 values of PatientID"):
            subjects(Takes.PAIR, "refuse", [*today, *prior], "1.2.3.4", dict.fromkeys(prior, "prior"))


def test_a_study_of_today_that_is_mixed_is_refused_before_its_prior_is_asked(tmp_path: Path) -> None:
    prior = _series(tmp_path, lambda number: {"StudyInstanceUID": "1.2.1"}, series="1.2.1.4")
    with pytest.raises(MixedIdentity):
        subjects(
            Takes.PAIR, "refuse", [*_series(tmp_path, _from_the_fifth(PatientID="0815")), *prior], "1.2.3.4", dict.fromkeys(prior, "prior")
        )
