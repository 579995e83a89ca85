"""`hilum events`: what it tells of a day in a hospital, for whom, and for how long."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from docs.event_meanings import HISTORY
from node.observe.association_log import AssociationLog
from node.observe.security import AssociationNotRequested, AssociationRejected
from node.records.history import WORDS
from node.store.hosts import make_run_folder

from .conftest import HEAD, REFUSED, TILTED, Hospital, Run

_HILUM = Path(sys.executable).with_name("hilum")


def _lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_every_event_of_the_history_has_words() -> None:
    """The reference's list and the command's are of the same events."""
    assert set(WORDS) == set(HISTORY)


def test_the_day_is_told_in_its_order_and_the_newest_last(hospital: Hospital, run: Run) -> None:
    """A line each; `--limit` keeps the newest."""
    told = _lines(run("events", "--json").out)
    assert [one["number"] for one in told] == sorted(one["number"] for one in told)  # type: ignore[type-var]
    assert told[0]["event"] == "arrival.received"
    assert (told[0]["study_uid"], told[0]["peer"]) == (HEAD, "pacs")
    assert _lines(run("events", "--json", "--limit", "3").out) == told[-3:]
    out = run("events").out
    assert len(out.splitlines()) == len(told)
    assert "study from pacs  images come in" in out
    assert "job 1 mr-brain  findings are kept" in out
    assert "to archive, job 1  delivered" in out
    assert "Doe" not in out


def test_events_are_asked_for_by_study_job_peer_code_and_time(hospital: Hospital, run: Run) -> None:
    """Each narrows; a study has its jobs and deliveries, a peer what it sent and what goes to it."""
    of_study = _lines(run("events", "--json", "--study", TILTED[-15:]).out)
    assert {one["study_uid"] for one in of_study} == {TILTED}
    assert {one["subject"] for one in of_study} == {"arrival", "job"}
    refused = _lines(run("events", "--json", "--code", "hlm-6100").out)
    assert [(one["event"], one["sink"], one["study_uid"]) for one in refused] == [("delivery.parked", "archive", REFUSED)]
    assert "refused" in str(refused[0]["remedy"]) or refused[0]["remedy"]
    of_job = _lines(run("events", "--json", "--job", "1").out)
    assert {one["job"] for one in of_job} == {1}
    assert {one["subject"] for one in of_job} == {"job", "delivery"}
    of_peer = _lines(run("events", "--json", "--peer", "ct1").out)
    assert {one["study_uid"] for one in of_peer} == {TILTED, REFUSED}
    sent_to = {one["sink"] for one in _lines(run("events", "--json", "--peer", "pacs").out)}
    assert "archive" in sent_to
    since = hospital.now.isoformat()
    late = _lines(run("events", "--json", "--since", since).out)
    assert late == [one for one in _lines(run("events", "--json").out) if str(one["at"]) >= since]
    assert late
    assert run("events", "--since", "2099-01-01").out == "no events of that kind\n"


def test_what_is_not_there_is_refused_with_what_there_is(hospital: Hospital, run: Run) -> None:
    """A name that is misspelt is no silence."""
    assert 'no peer "pacz" in hilum.yaml; did you mean "pacs"?' in run("events", "--peer", "pacz").err
    assert run("events", "--job", "99").code == 1
    assert "[HLM-2064]" in run("events", "--since", "yesterday").err


def test_what_a_line_quotes_of_a_data_set_is_told_where_logs_tell_it(hospital: Hospital, run: Run, place: Path) -> None:
    """As elsewhere: `patient_data_in_logs`."""
    hospital.journal.events.note("job", 1, "job.retry", "the series is called «Doe^Jane»", hospital.now)
    assert "«…»" in run("events", "--job", "1").out
    assert "Doe" not in run("events", "--job", "1", "--json").out


def test_following_tells_what_happens_from_now_on_until_it_is_ended(hospital: Hospital, place: Path) -> None:
    """A line within seconds; ^C ends it with 130 and not a word."""

    def interruptible() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever runs the tests in the background has it ignored

    with subprocess.Popen(
        [_HILUM, "events", "--follow", "--json", "--limit", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=place,
        preexec_fn=interruptible,
    ) as followed:
        assert followed.stdout is not None
        first = json.loads(followed.stdout.readline())
        hospital.journal.events.note("job", 1, "job.hastened", "by a test", hospital.now)
        second = json.loads(followed.stdout.readline())
        followed.send_signal(signal.SIGINT)
        _, said = followed.communicate(timeout=60)
    assert (second["event"], second["detail"], second["number"]) == ("job.hastened", "by a test", first["number"] + 1)
    assert (followed.returncode, said) == (130, "")


def test_what_a_stranger_calls_itself_moves_no_cursor(hospital: Hospital, run: Run) -> None:
    """An AE title comes from whoever connects: a terminal is shown none of its escapes. Scripts have it as JSON writes it."""
    folder = make_run_folder(hospital.config) / "associations"
    folder.mkdir()
    title = "\x1b[2JCT"
    refused = AssociationRejected(
        address="10.0.0.9", calling_ae=title, called_ae="HILUM", rejection="calling", reason=f'calling AE title "{title}" is no peer'
    )
    AssociationLog(folder, 0).hear(refused)
    said = run("associations")
    assert "\x1b" not in said.out
    assert 'turned away: calling AE title "\N{REPLACEMENT CHARACTER}[2JCT" is no peer' in " ".join(said.out.split())
    assert "10.0.0.9: If it may send, enter it under `peers:`" in said.out
    assert run("associations", "--json").json[0]["calling"] == title


def test_who_called_the_wrong_port_is_told_with_the_right_one(hospital: Hospital, run: Run) -> None:
    """A scanner that was set to TLS: it has no AE title yet, and an address."""
    folder = make_run_folder(hospital.config) / "associations"
    folder.mkdir()
    AssociationLog(folder, 0).hear(AssociationNotRequested(address="10.0.0.9", reason="TLS was begun, and this port has none"))
    told = " ".join(run("associations", "--refused").out.split())
    assert "10.0.0.9 – turned away: TLS was begun, and this port has none" in told
    assert "10.0.0.9: A sender over TLS calls the port of `node: {tls: {listen: …}}`" in told


@pytest.mark.parametrize(("calling", "called"), [("CT7", "HILUM"), ("CT-AWP-102030405", "HILUM-RADIOLOGY1")])
def test_a_narrow_terminal_says_who_called(
    hospital: Hospital, run: Run, monkeypatch: pytest.MonkeyPatch, calling: str, called: str
) -> None:
    """The moment is left out first, then the address, which stands with what to do; AE titles and the reason stay whole."""
    folder = make_run_folder(hospital.config) / "associations"
    folder.mkdir()
    reason = f'calling AE title "{calling}" is no peer'
    AssociationLog(folder, 0).hear(
        AssociationRejected(address="192.168.178.201", calling_ae=calling, called_ae=called, rejection="calling", reason=reason)
    )
    monkeypatch.setenv("COLUMNS", "60")
    listed, _, fix = run("associations").out.partition("\n\n")
    assert max(map(len, listed.splitlines())) <= 60
    assert f"{calling} → {called}" in listed
    assert ("192.168.178.201" in listed) == (calling == "CT7")
    assert {"turned", "away:", "calling", "peer"} <= set(listed.split())
    assert fix.startswith("192.168.178.201: If it may send, enter it under `peers:`")


@pytest.mark.parametrize("width", [60, 200])
def test_a_line_is_a_line_at_any_width(hospital: Hospital, run: Run, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """`grep` finds whole ones."""
    monkeypatch.setenv("COLUMNS", str(width))
    count = len(_lines(run("events", "--json").out))
    assert len(run("events").out.splitlines()) == count
