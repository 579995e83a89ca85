"""`hilum routes explain FOLDER` of priors that an application does not take: said as the node says it."""

from pathlib import Path

from pydicom.uid import generate_uid

from tests.unit.cli.conftest import CONFIG, Run
from tests.unit.cli.test_routes import write

THIN = """from dataclasses import replace

from inference.applications.mr_register.application import APPLICATION as ANY

APPLICATION = replace(ANY, name="thin-register", accepts=replace(ANY.accepts, max_thickness_mm=2.5))
"""


def test_a_prior_with_slices_too_thick_is_passed_over(place: Path, run: Run) -> None:
    """Of two earlier visits the newer has slices of 5 mm: the older is compared with, and the bound stands among the conditions."""
    (place / "applications/thin_register").mkdir(parents=True)
    (place / "applications/thin_register/__init__.py").write_text(THIN)
    text = CONFIG.replace("run: [mr-brain]", "run: [thin-register]") + "models: {applications: [applications]}\n"
    (place / "hilum.yaml").write_text(text, encoding="utf-8")
    for visit, (year, thickness) in enumerate((("2024", "2"), ("2025", "5"), ("2026", "2.5000001")), start=1):
        uids = {"StudyInstanceUID": f"1.2.3.{visit}", "SeriesInstanceUID": f"1.2.3.{visit}.1"}
        header = {"Modality": "MR", "PatientID": "4711", "StudyDate": f"{year}0601", "SeriesDescription": "T1", "SliceThickness": thickness}
        for number in range(20):
            place_mm = [0, 0, number * float(thickness)]
            of_one = {"SOPInstanceUID": generate_uid(entropy_srcs=[year, str(number)]), "ImagePositionPatient": place_mm}
            write(place / "visits" / year / str(number), 1, 1, **uids, **header, **of_one)
    (head, _) = run("routes", "explain", place / "visits", "--json").json["routes"]
    (today,) = [one for one in head["series"] if one["study_uid"] == "1.2.3.3"]
    why = "slices are 5 mm thick, at most 2.5 mm are taken"
    assert today["reason"].endswith(f"thin-register: compared with series 1 of 2024-06-01 (T1); passed over: series 1 of 2025-06-01: {why}")
    assert today["applications"] == [{"application": "thin-register", "answer": "takes it", "reason": "", "measures": []}]
