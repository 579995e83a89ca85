"""`hilum patients erase` where one Study Instance UID is two patients'."""

import os
import pwd
from pathlib import Path

import pytest

from tests.lab.audit import events, trail

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
    assert "  images  erased on request: 3 instances and 0 jobs of a patient\n" in run("events").out
    assert len(empty.journal.instances.of_study(HEAD)) == 3
    assert run("patients", "erase", "--study", HEAD, "--yes", "--all-patients").code == 0
    assert "  images  erased on request: 3 instances and 0 jobs of a study\n" in run("events").out
    assert empty.journal.instances.of_study(HEAD) == []


def test_who_is_not_here_is_not_erased_and_that_is_all_that_is_said(empty: Hospital, run: Run) -> None:
    """What an erasure would leave is no matter then."""
    said = run("patients", "erase", "--id", "4711")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(
        "nothing is held of a patient with this ID: nobody was erased; backups and what was delivered were not looked into [HLM-2124]"
    )


def test_the_trail_names_who_erases_by_the_machines_word(empty: Hospital, run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may set LOGNAME; the user number is the kernel's."""
    folder, config = place / "audit", place / "hilum.yaml"
    config.write_text(f"{config.read_text()}\naudit: {{folder: {folder}}}\n")
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody.else")
    empty.receive(HEAD, "pacs", "HILUM", (3, {"Modality": ("MR",)}))
    assert run("patients", "erase", "--id", "4711", "--yes").code == 0
    (deleted,) = [message for message in trail(folder) if "DICOM Study Deleted" in events([message])]
    (who,) = [one.get("UserID") for one in deleted.iter("ActiveParticipant") if one.get("UserIsRequestor") == "true"]
    assert who == f"{pwd.getpwuid(os.getuid()).pw_name} (uid {os.getuid()})"
