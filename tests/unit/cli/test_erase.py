"""`hilum patients erase` where one Study Instance UID is two patients'."""

from .conftest import HEAD, Hospital, Run


def test_a_study_of_two_patients_is_not_erased_by_its_uid_alone(empty: Hospital, run: Run) -> None:
    """It is refused with the ways out, and nothing is touched; `--id` takes the one's part, `--all-patients` what is left of anybody."""
    t1: dict[str, tuple[str | float | int, ...]] = {"Modality": ("MR",)}
    empty.receive(HEAD, "pacs", "HILUM", (3, t1), (2, {**t1, "PatientID": ("4712",)}), (1, {**t1, "PatientID": ("4713",)}))
    planned = run("patients", "erase", "--study", HEAD, "--dry-run", "--json").json
    assert (planned["instances"], planned["patients"]) == (6, 3)
    assert "3 patients" in run("patients", "erase", "--study", HEAD, "--dry-run").out
    refused = run("patients", "erase", "--study", HEAD, "--yes")
    assert (refused.code, "HLM-2065" in refused.err, "--all-patients" in refused.err) == (1, True, True)
    assert len(empty.journal.instances.of_study(HEAD)) == 6
    assert run("patients", "erase", "--id", "4711", "--yes").code == 0
    assert len(empty.journal.instances.of_study(HEAD)) == 3
    assert run("patients", "erase", "--study", HEAD, "--yes", "--all-patients").code == 0
    assert empty.journal.instances.of_study(HEAD) == []
