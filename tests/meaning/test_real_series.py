"""False holds: every real series that is here, as published, in one study and by one sender, is of one patient to both checks."""

import zipfile
from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from inference.imaging.errors import MixedIdentity
from inference.imaging.identity import KEYWORDS, identity_of, one_identity
from node.domain.instance import Sender
from node.domain.patient import Patient
from node.flow.held_instances import SenderTrust, held_when_added, incoming_instance
from node.journal.port import SeriesKnown
from tests.lab import needs

_SENDER = Sender(peer="ct1", calling_ae="CT1", address="10.0.0.1")
_READ = [*KEYWORDS.values(), "SeriesInstanceUID", "SOPInstanceUID", "SpecificCharacterSet"]

pytestmark = pytest.mark.slow


def _files(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                yield from (archive.read(name) for name in archive.namelist() if not name.endswith("/"))
        elif path.is_file():
            yield path.read_bytes()


def _headers(folder: Path) -> Iterator[Dataset]:
    for content in _files(folder):
        try:
            header = dcmread(BytesIO(content), stop_before_pixels=True, specific_tags=_READ)
        except (InvalidDicomError, EOFError):
            continue  # texts and tables lie there too
        if header.get("SOPInstanceUID") and header.get("SeriesInstanceUID"):
            yield header


def test_no_whole_real_series_is_held_or_refused() -> None:
    """Printed: how many series there are, and of how many a reader is told something."""
    series: dict[str, list[Dataset]] = defaultdict(list)
    for header in _headers(needs.data("dicom")):
        series[str(header.SeriesInstanceUID)].append(header)
    trust, patients = SenderTrust({}), defaultdict[str, set[Patient]](set)
    held, refused, remarked = [], [], 0
    for uid, members in series.items():
        known: SeriesKnown | None = None
        for header in members:
            study = str(header.get("StudyInstanceUID", ""))
            said = {keyword: (str(header[keyword].value),) for keyword in ("PatientID", "IssuerOfPatientID") if keyword in header}
            one = incoming_instance(_SENDER, study, said)
            if held_when_added(one, trust, known, patients[study]) is not None:
                held.append(uid)
                continue
            known = SeriesKnown(first=_SENDER, marks=(known.marks if known else frozenset()) | {one.mark})
            if one.patient is not None:
                patients[study].add(one.patient)
        try:
            remarked += bool(one_identity([(str(header.SOPInstanceUID), identity_of(header)) for header in members]))
        except MixedIdentity:
            refused.append(uid)
    print(f"{len(series)} real series: {len(set(held))} held, {len(refused)} refused, {remarked} with a remark")
    assert len(series) > 20
    assert (held, refused) == ([], [])
