"""`hilum routes explain`: condition by condition, of files and of studies that were received."""

import zipfile
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from inference.applications.catalog import load as load_application

from .conftest import CONFIG, HEAD, UNTAKEN, Hospital, Run

HU = {"RescaleIntercept": "-1024", "RescaleSlope": "1", "RescaleType": "HU"}
STUDY = "1.2.3.4"


def write(folder: Path, series: int, count: int, **header: object) -> None:
    """A series of `count` small Part 10 files, written by pydicom: axial slices as far apart as they are thick, of 128 mm a side."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        dataset = Dataset()
        dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        dataset.SOPInstanceUID = f"{STUDY}.{series}.{number + 1}"
        dataset.StudyInstanceUID = STUDY
        dataset.SeriesInstanceUID = f"{STUDY}.{series}"
        dataset.SeriesNumber = series
        dataset.Rows = dataset.Columns = 64
        dataset.PixelSpacing = [2, 2]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = [0, 0, number * float(str(header.get("SliceThickness", "2")))]
        for keyword, value in header.items():
            setattr(dataset, keyword, value)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.file_meta.ImplementationClassUID = generate_uid(entropy_srcs=["hilum tests"])
        dataset.save_as(folder / f"{series}-{number}.dcm", enforce_file_format=True)


@pytest.fixture
def chest(place: Path) -> Path:
    """A chest CT of two series, and a file that is no DICOM."""
    write(place / "study", 1, 70, Modality="CT", BodyPartExamined="CHEST", **HU, SliceThickness="1.25")
    write(place / "study", 2, 1, Modality="CT", BodyPartExamined="CHEST", **HU, SliceThickness="8")
    (place / "study/notes.txt").write_text("not DICOM")
    return place / "study"


def test_a_version_that_is_not_here_is_refused_by_check_and_parked_by_explain(chest: Path, place: Path, run: Run) -> None:
    """With the place of the route's `run`; of the version that is here it runs, and nothing is withheld."""
    text = (place / "hilum.yaml").read_text()
    here = load_application("ct-lung", ()).version
    (place / "hilum.yaml").write_text(text.replace("run: [ct-lung]", "run: [ct-lung@9.1]"))
    checked = run("config", "check", "--json")
    (problem,) = checked.json["problems"]
    line = next(number for number, one in enumerate(text.splitlines(), 1) if "run: [ct-lung]" in one)
    why = f"ct-lung is version {here} here, and the route asks for 9.1"
    assert (checked.code, problem["code"]) == (1, "HLM-2015")
    assert problem["message"].endswith(f'hilum.yaml:{line}:11: route "chest CT": run: {why}')
    says = run("routes", "explain", chest, "--from", "ct1", "--to", "HILUM_STAT", "--json").json["routes"][1]["series"]
    best = next(one for one in says if one["series_uid"] == "1.2.3.4.1")
    assert (best["withheld"], best["reason"].partition("; ct-lung ")[2]) == ("parked", f"is parked: {why}")
    (place / "hilum.yaml").write_text(text.replace("run: [ct-lung]", f"run: [ct-lung@{here.partition('.')[0]}]"))
    assert run("config", "check").code == 0
    says = run("routes", "explain", chest, "--from", "ct1", "--to", "HILUM_STAT", "--json").json["routes"][1]["series"]
    best = next(one for one in says if one["series_uid"] == "1.2.3.4.1")
    assert (best["chosen"], best["withheld"]) == (True, "")


def test_a_route_of_which_one_application_is_parked_and_another_runs_is_one_that_runs(chest: Path, place: Path, run: Run) -> None:
    """`otherwise: park` parks the job of the one that does not take the series."""
    text = (place / "hilum.yaml").read_text()
    (place / "hilum.yaml").write_text(text.replace("run: [ct-lung]", "run: [ct-lung, mr-brain]\n    otherwise: park"))
    told = run("routes", "explain", chest, "--from", "ct1", "--to", "HILUM_STAT").out
    assert "✓ chest CT → ct-lung, mr-brain → archive, copies" in told
    assert "mr-brain is not applicable and is parked" in told
    (place / "hilum.yaml").write_text(text.replace("run: [ct-lung]", "run: [mr-brain]\n    otherwise: park"))
    assert "✗ chest CT  parked" in run("routes", "explain", chest, "--from", "ct1", "--to", "HILUM_STAT").out


def test_what_an_application_excludes_is_told_as_the_strictest_route_of_its_job_asks(chest: Path, place: Path, run: Run) -> None:
    """As the node does: one job of mr-brain for both routes, which waits for a person; of one that asks for a version that is not here, the
    other has no part in its job."""
    text = (place / "hilum.yaml").read_text().replace("run: [ct-lung]", "run: [ct-lung, mr-brain]")
    for wanted, together in (("mr-brain", True), ("mr-brain@9.1", False)):
        other = f"routes:\n  - {{name: parks, when: {{Modality: CT}}, run: [{wanted}], send: [copies], otherwise: park}}\n"
        (place / "hilum.yaml").write_text(text.replace("routes:\n", other))
        says = run("routes", "explain", chest, "--from", "ct1", "--to", "HILUM_STAT", "--json").json["routes"]
        told = {one["route"]: next(each for each in one["series"] if each["series_uid"] == "1.2.3.4.1") for one in says}
        assert ("and is parked" in told["parks"]["reason"], told["parks"]["withheld"]) == (True, "parked")
        assert ("and is parked" in told["chest CT"]["reason"], told["chest CT"]["withheld"]) == (together, "")


def test_what_is_expected_in_vain_is_told_as_the_strictest_route_of_its_job_asks(chest: Path, place: Path, run: Run) -> None:
    text = (place / "hilum.yaml").read_text()
    both = "".join(
        f"  - {{name: {name}, when: {{Modality: MR}}, run: [mr-brain], send: [copies], expect: true{more}}}\n"
        for name, more in (("expects", ""), ("parks", ", otherwise: park"))
    )
    (place / "hilum.yaml").write_text(text.replace("routes:\n", f"routes:\n{both}"))
    says = run("routes", "explain", chest, "--from", "ct1", "--to", "HILUM_STAT", "--json").json["routes"]
    told = [each["reason"] for one in says if one["route"] in ("expects", "parks") for each in one["series"]]
    assert [reason.endswith("none is taken: the job is parked") for reason in told if "none is taken" in reason] == [True, True]


def test_an_explanation_for_scripts_has_every_condition(chest: Path, run: Run) -> None:
    """Per route `matched`, per condition `key`, `expected`, `found`, `held`; what was passed over is named with the reason."""
    answer = run("routes", "explain", chest, "--from", "ct1", "--to", "HILUM_STAT", "--json").json
    assert [(one["route"], one["matched"]) for one in answer["routes"]] == [("head MR", False), ("chest CT", True)]
    head, ct = answer["routes"]
    assert head["conditions"][0] == {"key": "Modality", "expected": "MR", "found": "CT", "held": False}
    assert ct["conditions"] == [
        {"key": "from", "expected": "ct1", "found": "ct1", "held": True},
        {"key": "to", "expected": "HILUM_STAT", "found": "HILUM_STAT", "held": True},
        {"key": "Modality", "expected": "CT", "found": "CT", "held": True},
        {"key": "BodyPartExamined", "expected": "one of CHEST, THORAX", "found": "CHEST", "held": True},
        {"key": "SliceThickness", "expected": "at most 5", "found": "1.25", "held": True},
        {
            "key": "ct-lung takes it",
            "expected": "CT, axial, at least 8 slices, at most 10 mm apart, 40 mm in every direction, chest",
            "found": "what fits",
            "held": True,
        },
    ]
    assert [(one["series_uid"], one["matched"], one["chosen"]) for one in ct["series"]] == [
        (f"{STUDY}.1", True, True),
        (f"{STUDY}.2", False, False),
    ]
    assert [one["file"] for one in answer["passed_over"]] == ["notes.txt"]


def test_what_the_only_application_does_not_take_is_not_run(chest: Path, run: Run) -> None:
    """Both series fit the route; the one that it would take is the thin one, and with slices of 8 mm alone nothing runs, and why."""
    route = "  - {name: nodules, when: {Modality: CT}, run: [lung-nodule], send: [copies]}\n"
    (chest.parent / "hilum.yaml").write_text(CONFIG + route, encoding="utf-8")
    thin = run("routes", "explain", chest, "--json").json["routes"][2]
    assert [(one["series_uid"], one["chosen"]) for one in thin["series"]] == [(f"{STUDY}.1", True), (f"{STUDY}.2", False)]
    takes = {"application": "lung-nodule", "answer": "takes it", "reason": "", "measures": []}
    assert [one["applications"] for one in thin["series"][:1]] == [[takes]]
    alone = run("routes", "explain", chest / "2-0.dcm", "--json").json["routes"][2]
    (thick,) = alone["series"]
    assert (thick["matched"], thick["chosen"]) == (True, False)
    assert "slices are 8 mm thick, at most 2.5 mm are taken" in thick["reason"]
    (answer,) = thick["applications"]
    assert (answer["answer"], answer["reason"] in thick["reason"]) == ("does not take it", True)
    shown = " ".join(run("routes", "explain", chest / "2-0.dcm").out.split())
    assert "✗ lung-nodule takes it CT, axial, at least 30 slices" in shown


def test_a_sender_that_is_not_named_is_taken_to_be_the_right_one(chest: Path, run: Run) -> None:
    """Files have no sender: what their headers decide is answered, and the assumption is visible. Another sender is really tried."""
    answer = run("routes", "explain", chest, "--json").json
    ct = answer["routes"][1]
    assert ct["matched"] is True
    assert ct["conditions"][0]["found"] == "assumed (--from PEER asks)"
    assert run("routes", "explain", chest, "--from", "pacs", "--json").json["routes"][1]["matched"] is False
    unknown = run("routes", "explain", chest, "--from", "ct9")
    assert (unknown.code, 'unknown peer "ct9"; did you mean "ct1"?' in unknown.err) == (1, True)


def test_a_zip_is_explained_as_the_folder_in_it(chest: Path, run: Run) -> None:
    """What a colleague sends by mail needs no unpacking."""
    packed = chest.parent / "study.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in chest.iterdir():
            archive.write(path, f"deep/{path.name}")
    from_zip = run("routes", "explain", packed, "--json").json["routes"]
    assert from_zip == run("routes", "explain", chest, "--json").json["routes"]


def test_one_file_is_explained_and_something_else_is_refused(chest: Path, run: Run) -> None:
    """A file that is no DICOM is an error with the reason, not an empty answer."""
    assert run("routes", "explain", chest / "2-0.dcm", "--json").json["routes"][1]["matched"] is False
    refused = run("routes", "explain", chest / "notes.txt")
    assert (refused.code, "holds no DICOM images" in refused.err, "[HLM-2060]" in refused.err) == (1, True, True)


def test_people_see_marks_and_what_was_found(chest: Path, run: Run) -> None:
    """The condition that did not hold stands there with what was found, on a screen of 100 columns."""
    shown = run("routes", "explain", chest).out
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "✗ SliceThickness at most 5 found 8" in lines
    assert "✓ SliceThickness at most 5 found 1.25" in lines
    assert any(line.startswith("✓ chest CT → ct-lung → archive, copies") for line in lines)
    assert all(len(line) <= 100 for line in shown.splitlines())
    assert "1 file passed over" in shown


def test_a_received_study_shows_what_was_decided_and_what_an_edited_configuration_says(hospital: Hospital, run: Run, place: Path) -> None:
    """The recorded decision stays what it was; the edited route would no longer take the series."""
    (place / "hilum.yaml").write_text(CONFIG.replace("{min: 3}", "{min: 300}"), encoding="utf-8")
    answer = run("routes", "explain", HEAD, "--json").json
    assert (answer["recorded"][0]["matched"], answer["routes"][0]["matched"]) == (True, False)
    shown = run("routes", "explain", HEAD).out
    assert "Decided when it came" in shown
    assert "What hilum.yaml says now" in shown


def test_a_study_whose_routes_did_not_change_is_explained_once(hospital: Hospital, run: Run) -> None:
    """Nobody compares two equal pages."""
    shown = run("routes", "explain", UNTAKEN).out
    assert shown.count("✗ head MR") == 1
    assert "still says so" in shown


@pytest.fixture
def follow_up(place: Path) -> Path:
    """A configuration that compares head MRs with their priors, and a folder with two visits of one patient and one of another."""
    (place / "hilum.yaml").write_text(CONFIG.replace("run: [mr-brain]", "run: [mr-register]"), encoding="utf-8")
    for visit, (day, patient) in enumerate((("20250601", "4711"), ("20260310", "4711"), ("20250701", "4712")), start=1):
        header = {"Modality": "MR", "PatientID": patient, "StudyDate": day, "StudyTime": "101500", "SeriesDescription": "T1 MPRAGE"}
        write(place / "visits" / str(visit), 1, 16, StudyInstanceUID=f"{STUDY}.{visit}", SeriesInstanceUID=f"{STUDY}.{visit}.1", **header)
        for number, path in enumerate(sorted((place / "visits" / str(visit)).iterdir())):
            changed = dcmread(path)
            changed.SOPInstanceUID = changed.file_meta.MediaStorageSOPInstanceUID = UID(f"{STUDY}.{visit}.1.{number}")
            changed.save_as(path)
    return place / "visits"


def test_a_folder_of_two_visits_explains_which_is_the_prior(follow_up: Path, run: Run) -> None:
    """The later visit is compared with the earlier one of the same patient ID; the first visits say that they have none."""
    (head, _) = run("routes", "explain", follow_up, "--json").json["routes"]
    said = {one["series_uid"]: one["reason"].partition("; mr-register: ")[2] for one in head["series"]}
    assert said == {
        f"{STUDY}.1.1": "no prior: no earlier study of this patient is here",
        f"{STUDY}.2.1": "compared with series 1 of 2025-06-01 (T1 MPRAGE)",
        f"{STUDY}.3.1": "no prior: no earlier study of this patient is here",
    }
    assert "mr-register: compared with series 1 of 2025-06-01 (T1 MPRAGE)" in run("routes", "explain", follow_up).out


@pytest.mark.parametrize(
    ("otherwise", "chosen", "said"),
    [
        ("ignore", False, "waits 5 min, then is not run: "),
        ("park", False, "waits 5 min, then is parked: "),
        ("proceed", True, "all conditions hold; it fits; waits 5 min, then is run without: "),
    ],
)
def test_a_folder_without_a_series_that_is_needed_says_what_would_be(
    chest: Path, place: Path, run: Run, otherwise: str, chosen: bool, said: str
) -> None:
    """The needed series is a condition of its own, with what was found; and what happens without. Once it is there, the route takes it."""
    needs = f"needs: {{series: {{contrast: {{ContrastBolusAgent: {{exists: true}}}}}}, within: 5m, otherwise: {otherwise}}}"
    (place / "hilum.yaml").write_text(CONFIG.replace("run: [ct-lung]", f"run: [ct-lung]\n    {needs}"), encoding="utf-8")
    ct = run("routes", "explain", chest, "--json").json["routes"][1]
    assert ct["conditions"][-2] == {
        "key": "needs contrast",
        "expected": "ContrastBolusAgent present",
        "found": "none of 2 series",
        "held": False,
    }
    thin = ct["series"][0]
    assert (thin["matched"], thin["chosen"]) == (True, chosen)
    without = 'the study has no series "contrast" (ContrastBolusAgent present)'
    assert thin["reason"].replace("the only series of images that fits", "it fits") == said + without
    assert "needs contrast" in run("routes", "explain", chest).out
    write(chest, 3, 1, Modality="CT", ContrastBolusAgent="IOHEXOL")
    ct = run("routes", "explain", chest, "--json").json["routes"][1]
    assert (ct["conditions"][-2]["found"], ct["series"][0]["chosen"]) == ("series 3", True)
