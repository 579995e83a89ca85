"""Network and workflow cases against one real node, over real associations: what came is routed as it should be, names arrive intact.

The other cases are proved where their part is: `grep -rn "Network case" tests`.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from inference.imaging.write_series import write_series
from tests.lab.node import Node, configuration
from tests.lab.program import wait_until
from tests.lab.wire import Offer, Sender

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_APPLICATIONS = Path(__file__).parents[2] / "bench" / "applications"
_PATIENCE_S = 180
_KINDS = {"SEG", "SR", "OT"}
_AGENT = {"ContrastBolusVolume": {"min": 20}}
_NEEDS = {
    "ignore": {"within": "3s", "otherwise": "ignore"},
    "proceed": {"within": "3s", "otherwise": "proceed"},
    "park": {"within": "3s", "otherwise": "park"},
    "patience": {"within": "2h", "otherwise": "ignore"},
}
"""What becomes of a route whose series is missing: after three seconds, or not as long as a test runs."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Routes that overlap, one on a tag that few series have, one per series; two folders."""
    folder = tmp_path_factory.mktemp("cases")

    def route(name: str, when: dict[str, Any], *send: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "when": when, "run": ["bench-threshold"], "send": list(send), **more}

    settings = configuration(
        folder,
        port=0,
        repository=folder / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": "2s"}}},
        sinks={name: {"kind": "folder", "path": str(folder / name)} for name in ("one", "two")},
        routes=[
            route("named", {"Modality": "CT", "SeriesDescription": {"in": ["plain", "both"]}}, "one"),
            route("both", {"SeriesDescription": "both"}, "one", "two"),
            route("contrast", {"ContrastBolusAgent": {"exists": True}}, "one", each=True),
            route("breast", {"Modality": "MG"}, "one", each=True),
            *(
                route(f"needs {name}", {"SeriesDescription": f"before {name}"}, "one", needs={"series": {"after": _AGENT}, **needs})
                for name, needs in _NEEDS.items()
            ),
            route("any", {"SeriesDescription": "asked"}, "one", any_series=_AGENT),
            route("all", {"SeriesDescription": "asked"}, "two", all_series=_AGENT),
        ],
    )
    settings["models"] = {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}
    with Node(settings, folder) as running:
        yield running


def _series(folder: Path, change: Callable[[Dataset], object], *, slices: int = 4) -> list[Dataset]:
    """A CT with a bright block, each slice changed as the case wants it."""
    voxels = np.full((slices, 64, 64), -1000, np.int16)
    voxels[:, 20:30, 10:30] = 60
    affine = np.array([[0.0, 0, 1, -32], [0, 1, 0, -32], [2, 0, 0, 0], [0, 0, 0, 1]])
    made: list[Dataset] = [dcmread(path) for path in write_series(voxels, affine, folder, modality="CT", patient_id="CASE")]
    study, series = generate_uid(), generate_uid()  # equal voxels get equal UIDs there
    for one in made:
        one.StudyInstanceUID, one.SeriesInstanceUID, one.SOPInstanceUID = study, series, generate_uid()
        change(one)
    return made


def _offer(one: Dataset, raw: tuple[bytes, bytes] | None = None) -> Offer:
    """As it goes over the wire; `raw` puts other bytes in the place of some that no writer would write."""
    from tests.dimse.conftest import data_set

    content = data_set(one)
    if raw is not None:
        assert len(raw[0]) == len(raw[1])
        assert raw[0] in content
        content = content.replace(*raw)
    return Offer(
        data_set=content,
        sop_instance_uid=str(one.SOPInstanceUID),
        sop_class_uid=str(one.SOPClassUID),
        transfer_syntax_uid=str(one.file_meta.TransferSyntaxUID),
    )


def _send(node: Node, offers: list[Offer]) -> None:
    with Sender(node.port, offers, calling="SCANNER") as sender:
        assert [sender.store(offer) for offer in offers] == [0x0000] * len(offers)


def _jobs(node: Node, study: str) -> list[dict[str, Any]]:
    return [job for job in node.jobs() if job["study_uid"] == study]


def _ended(node: Node, study: str, count: int) -> list[dict[str, Any]]:
    """The jobs of a study, once there are so many and all have ended."""

    def ended() -> bool:
        jobs = _jobs(node, study)
        return len(jobs) == count and all(job["state"] in ("done", "not_applicable", "parked", "failed") for job in jobs)

    wait_until(ended, _PATIENCE_S, f"{count} jobs of {study} have ended", every_s=1)
    return _jobs(node, study)


def _results(node: Node, sink: str, study: str) -> list[Dataset]:
    return [one for path in (node.folder / sink).rglob("*.dcm") if (one := dcmread(path)).StudyInstanceUID == study]


def test_one_ct_is_one_job_with_every_instance_and_two_sinks_get_everything_once(node: Node, tmp_path: Path) -> None:
    """Network cases 3 and 11: two routes match and name two sinks, one of them twice; a modality that no route takes is visible."""
    slices = _series(tmp_path / "in", lambda one: setattr(one, "SeriesDescription", "both"))
    _send(node, [_offer(one) for one in slices])
    study = str(slices[0].StudyInstanceUID)
    (job,) = _ended(node, study, 1)
    assert (job["state"], job["routes"], job["sinks"]) == ("done", ["named", "both"], ["one", "two"])
    assert node.hilum("jobs", "show", job["id"], "--json").json["instances"] == len(slices)
    for sink in ("one", "two"):
        found = _results(node, sink, study)
        assert {str(one.Modality) for one in found} == _KINDS
        assert len(found) == 3
        (seg,) = [one for one in found if one.Modality == "SEG"]
        named = {str(item.ReferencedSOPInstanceUID) for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
        assert named == {str(one.SOPInstanceUID) for one in slices}


def test_three_series_of_a_mammography_are_three_jobs(node: Node, tmp_path: Path) -> None:
    """Network case 4: in one study, each series by itself."""
    study = generate_uid()

    def view(one: Dataset) -> None:
        one.Modality, one.StudyInstanceUID = "MG", study

    views = [_series(tmp_path / str(number), view, slices=1)[0] for number in range(3)]
    _send(node, [_offer(one) for one in views])
    jobs = _ended(node, study, 3)
    assert {job["series_uid"] for job in jobs} == {str(one.SeriesInstanceUID) for one in views}


def test_two_studies_at_once_are_two_jobs_and_nothing_is_mixed(node: Node, tmp_path: Path) -> None:
    """Network case 6: over two associations at a time, and alternating over one."""
    studies = [_series(tmp_path / str(number), lambda one: setattr(one, "SeriesDescription", "plain")) for number in range(4)]
    with ThreadPoolExecutor(2) as senders:
        sent = [senders.submit(_send, node, [_offer(one) for one in study]) for study in studies[:2]]
        _send(node, [_offer(one) for pair in zip(*studies[2:], strict=True) for one in pair])
        for one in sent:
            one.result()
    for study in studies:
        uid = str(study[0].StudyInstanceUID)
        (job,) = _ended(node, uid, 1)
        assert job["state"] == "done"
        (seg,) = [one for one in _results(node, "one", uid) if one.Modality == "SEG"]
        named = {str(item.ReferencedSOPInstanceUID) for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
        assert named == {str(one.SOPInstanceUID) for one in study}


def test_what_no_route_takes_is_kept_and_says_why(node: Node, tmp_path: Path) -> None:
    """Network case 12: every instance is there, and each route has its reason."""
    slices = _series(tmp_path / "in", lambda one: setattr(one, "SeriesDescription", "other"))
    _send(node, [_offer(one) for one in slices])
    study = str(slices[0].StudyInstanceUID)

    def decisions() -> list[Any]:
        if study not in [one["study_uid"] for one in node.studies()]:
            return []
        found: list[Any] = node.hilum("studies", "show", study, "--json").json["arrivals"][0]["decisions"]
        return found

    wait_until(decisions, _PATIENCE_S, "the study is routed", every_s=1)
    assert {one["route"]: one["reason"] for one in decisions()}["named"] == "SeriesDescription is other, expected one of plain, both"
    assert not any(one["chosen"] for one in decisions())
    assert _jobs(node, study) == []
    kept = b"".join(path.read_bytes() for path in (node.folder / "blobs" / "instances").rglob("*.dcm"))
    assert all(str(one.SOPInstanceUID).encode() in kept for one in slices)


def test_a_tag_in_one_of_two_series_takes_that_one(node: Node, tmp_path: Path) -> None:
    """Network case 16: a route asks each series, so any of them is enough; a series without the tag does not follow, as it would have to if
    all were asked."""
    study = generate_uid()

    def plain(one: Dataset) -> None:
        one.StudyInstanceUID = study

    def contrast(one: Dataset) -> None:
        one.StudyInstanceUID, one.ContrastBolusAgent = study, "IOHEXOL"

    without, with_it = _series(tmp_path / "a", plain), _series(tmp_path / "b", contrast)
    _send(node, [_offer(one) for one in (*without, *with_it)])
    (job,) = _ended(node, study, 1)
    assert (job["series_uid"], job["routes"]) == (str(with_it[0].SeriesInstanceUID), ["contrast"])


def test_any_and_all_ask_every_series_of_the_study(node: Node, tmp_path: Path) -> None:
    """Network case 16: the series that is to run is without the tag. With it in the other one, any: true, all: false; where every series
    has it, each is true, and the other sink gets its results too."""
    study, whole = generate_uid(), generate_uid()

    def asked(one: Dataset) -> None:
        one.StudyInstanceUID, one.SeriesDescription = study, "asked"

    def other(one: Dataset) -> None:
        one.StudyInstanceUID, one.ContrastBolusVolume = study, "80"

    def asked_with_agent(one: Dataset) -> None:
        one.StudyInstanceUID, one.SeriesDescription, one.ContrastBolusVolume = whole, "asked", "80"

    without = _series(tmp_path / "a", asked)
    _send(node, [_offer(one) for one in (*_series(tmp_path / "b", other, slices=6), *without)])
    (job,) = _ended(node, study, 1)
    assert (job["series_uid"], job["routes"], job["sinks"]) == (str(without[0].SeriesInstanceUID), ["any"], ["one"])
    (reason,) = _reasons(node, study, "all", job["series_uid"])
    assert reason.startswith("all_series is not series ")
    assert reason.endswith(", expected ContrastBolusVolume at least 20")
    _send(node, [_offer(one) for one in _series(tmp_path / "c", asked_with_agent)])
    (job,) = _ended(node, whole, 1)
    assert (job["routes"], job["sinks"]) == (["any", "all"], ["one", "two"])


def _reasons(node: Node, study: str, route: str, series: str = "") -> list[str]:
    """What the route decided about a study (or one series of it), arrival after arrival; nothing before it came."""
    if study not in [one["study_uid"] for one in node.studies()]:
        return []
    arrivals = node.hilum("studies", "show", study, "--json").json["arrivals"]
    decisions = [one for arrival in arrivals for one in arrival["decisions"] if one["route"] == route]
    return [one["reason"] for one in decisions if one["series_uid"].startswith(series)]


def _before_and_after(folder: Path, name: str) -> tuple[list[Dataset], list[Dataset]]:
    """Two series of a study: the one that the route `needs NAME` takes, and the one that it needs."""
    study = generate_uid()

    def before(one: Dataset) -> None:
        one.StudyInstanceUID, one.SeriesDescription = study, f"before {name}"

    def after(one: Dataset) -> None:
        one.StudyInstanceUID, one.SeriesDescription, one.ContrastBolusVolume = study, "after", "80"

    return _series(folder / "before", before), _series(folder / "after", after)


_MISSING = 'the study has no series "after" (ContrastBolusVolume at least 20)'


@pytest.mark.parametrize("name", ["ignore", "proceed", "park"])
def test_a_needed_series_that_is_missing_at_the_deadline(node: Node, tmp_path: Path, name: str) -> None:
    """Network case 8: ignored with a reason that everybody can read, run without, or parked with a code; when the series comes after all,
    what was left is run, and what ran is not repeated."""
    first, late = _before_and_after(tmp_path, name)
    study, series = str(first[0].StudyInstanceUID), str(first[0].SeriesInstanceUID)
    _send(node, [_offer(one) for one in first])
    said = {"ignore": _MISSING, "proceed": f"is run without: {_MISSING}", "park": f"bench-threshold is parked: {_MISSING}"}
    wait_until(
        lambda: any(said[name] in one.split("; ") for one in _reasons(node, study, f"needs {name}", series)),
        _PATIENCE_S,
        "the wait is over",
        every_s=1,
    )
    before = _ended(node, study, 0 if name == "ignore" else 1)
    expected = {"ignore": [], "proceed": [("done", None)], "park": [("parked", "HLM-3085")]}
    assert [(job["state"], job["code"]) for job in before] == expected[name]
    notes = int(name == "park")
    wait_until(lambda: len(_results(node, "one", study)) >= notes, _PATIENCE_S, "what is parked is said")
    _send(node, [_offer(one) for one in late])
    wait_until(lambda: [job["state"] for job in _jobs(node, study)] == ["done"], _PATIENCE_S, "what was left is run", every_s=1)
    (job,) = _jobs(node, study)
    assert job["series_uid"] == series
    assert job["id"] in [one["id"] for one in before] or name == "ignore"
    assert len(_results(node, "one", study)) == len(_KINDS) + notes


def test_a_route_that_waits_for_a_series_waits_through_a_crash(node: Node, tmp_path: Path) -> None:
    """Network case 8: while it waits there is no job, and the study says for what; killed and started again, it has not forgotten: the
    series comes, one job."""
    first, second = _before_and_after(tmp_path, "patience")
    study, series = str(first[0].StudyInstanceUID), str(first[0].SeriesInstanceUID)
    _send(node, [_offer(one) for one in first])
    wait_until(lambda: _reasons(node, study, "needs patience", series), _PATIENCE_S, "the route has decided to wait", every_s=1)
    (reason,) = _reasons(node, study, "needs patience", series)
    assert reason.startswith("waits until ")
    assert reason.endswith(_MISSING)
    assert _jobs(node, study) == []
    (found,) = [one for one in node.studies() if one["study_uid"] == study]
    assert (found["state"], found["waits"]["for"]) == ("waits", _MISSING)
    assert f"{datetime.fromisoformat(found['waits']['until']):%Y-%m-%d %H:%M:%S}" in reason, "until when, as the decision says it"
    node.kill()
    node.start()
    _send(node, [_offer(one) for one in second])
    (job,) = _ended(node, study, 1)
    assert (job["state"], job["series_uid"]) == ("done", series)
    explained = node.hilum("routes", "explain", study, "--json").json
    (needs,) = [one for one in explained["routes"] if one["route"] == "needs patience"]
    (after,) = [one for one in needs["conditions"] if one["key"] == "needs after"]
    assert after == {
        "key": "needs after",
        "expected": "ContrastBolusVolume at least 20",
        "found": "series 1",
        "held": True,
    }


@pytest.mark.parametrize(
    ("charset", "name", "raw", "expected"),
    [
        ("ISO_IR 100", "Müller^Jörg", None, "Müller^Jörg"),
        ("ISO_IR 144", "Чайковский^Пётр", None, "Чайковский^Пётр"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎", None, "Yamada^Tarou=山田^太郎"),
        ("GB18030", "Wang^XiaoDong=王^小东", None, "Wang^XiaoDong=王^小东"),
        ("ISO_IR 192", "Plain^Name", (b"Plain^Name", b"Pla\0n^N\xffme"), None),
    ],
    ids=["Latin-1", "Cyrillic", "Kanji", "GB18030", "NUL and no UTF-8"],
)
def test_names_arrive_intact(
    node: Node, tmp_path: Path, charset: Any, name: str, raw: tuple[bytes, bytes] | None, expected: str | None
) -> None:
    """Network case 13: routed, and the patient's name in mask and report is the one that came; one that nobody can read stops nothing."""

    def named(one: Dataset) -> None:
        one.SeriesDescription = "plain"
        one.SpecificCharacterSet = charset
        one.PatientName = name

    slices = _series(tmp_path / "in", named)
    _send(node, [_offer(one, raw) for one in slices])
    study = str(slices[0].StudyInstanceUID)
    (job,) = _ended(node, study, 1)
    assert job["state"] == "done", job
    found = [one for one in _results(node, "one", study) if one.Modality in ("SEG", "SR")]
    assert len(found) == 2
    if expected is not None:
        assert {str(one.PatientName) for one in found} == {expected}
