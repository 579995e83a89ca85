"""The trail's files: several processes append, a line cut short spoils no other, nothing unsent goes; who hands over never waits."""

import os
import subprocess
import sys
import threading
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from node.observe.audit import codes
from node.observe.audit.alerts import Alerts
from node.observe.audit.forwarding import AuditForwarder, Tls
from node.observe.audit.message import Action, Message, Participant, Source
from node.observe.audit.trail import AuditFiles, Trail, lines_from
from node.observe.security import (
    AssociationAccepted,
    AssociationRejected,
    ConfigReloaded,
    ConfigSaved,
    ConsoleLogin,
    ConsoleLoginRefused,
    ReloadRefused,
    TooManyConnections,
    listen,
    listen_no_more,
    tell,
)
from node.upkeep.monotonic_clock import MonotonicClock
from tests.lab.audit import events, of, trail, users
from tests.lab.program import wait_until

DAY = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SOURCE = Source(name="HILUM@here")


def _message(name: str = "x") -> Message:
    return Message(event=codes.EXPORT, action=Action.READ, at=DAY, participants=(Participant(user_id=name),))


@pytest.mark.slow
def test_processes_write_side_by_side(tmp_path: Path) -> None:
    """Four processes, 200 messages each, one file: every line is whole and nothing is missing; nobody else may read them."""
    program = (
        "import sys; from pathlib import Path; from tests.unit.observe.test_audit_trail import _message, SOURCE\n"
        "from node.observe.audit.trail import Trail\n"
        "made = Trail(Path(sys.argv[1]), SOURCE)\n"
        "for number in range(200): made.tell(_message(f'{sys.argv[2]}-{number}'))\n"
        "made.close()"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "audit"), str(one)], cwd=Path(__file__).parents[3])
        for one in range(4)
    ]
    assert [one.wait(120) for one in writers] == [0] * 4
    told = {str(one.get("UserID")) for message in trail(tmp_path / "audit") for one in message.iter("ActiveParticipant")}
    assert told == {f"{one}-{number}" for one in range(4) for number in range(200)}
    (file,) = (tmp_path / "audit").glob("audit-*.xml")
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "audit", file)] == [0o700, 0o600]


def test_a_line_cut_short_spoils_no_other(tmp_path: Path) -> None:
    """After a power loss the file may end in the middle of a message: the next one begins a line of its own."""
    files = AuditFiles(tmp_path)
    files.append([b"<one/>"], DAY)
    path = tmp_path / "audit-2026-03-01.xml"
    path.write_bytes(path.read_bytes() + b"<tw")
    assert [line for line, _ in lines_from(path, 0, 1000)] == [b"<one/>"]
    files.append([b"<three/>"], DAY)
    assert path.read_bytes() == b"<one/>\n<tw\n<three/>\n"


def test_a_day_a_file_and_nothing_unsent_goes(tmp_path: Path) -> None:
    """Files go when their day is over for `keep`; from the first one on that was not sent they stay."""
    files = AuditFiles(tmp_path)
    for days in range(5):
        files.append([b"<x/>"], DAY + timedelta(days=days))
    later = DAY + timedelta(days=10)
    assert files.forget(later, timedelta(days=8), needed="audit-2026-03-02.xml") == 1
    assert files.forget(later, timedelta(days=8), needed=None) == 1
    assert [path.name for path in files.days()] == [f"audit-2026-03-0{day}.xml" for day in (3, 4, 5)]


def test_a_full_disk_keeps_messages_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """What was told while the disk took nothing is there once it takes something, in order; the operator hears of it once."""
    real, full = os.write, threading.Event()
    full.set()

    def write(descriptor: int, data: bytes) -> int:
        if full.is_set() and threading.current_thread().name == "audit":
            raise OSError(28, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    made = Trail(tmp_path, SOURCE)
    for number in range(3):
        made.tell(_message(str(number)))
    wait_until(lambda: "audit.failed" in capfd.readouterr().out, 30, "the operator is told")
    full.clear()
    assert made.flush(60)
    made.close()
    assert [str(one.get("UserID")) for message in trail(tmp_path) for one in message.iter("ActiveParticipant")] == ["0", "1", "2"]


def test_a_flood_of_refusals_is_two_messages(tmp_path: Path) -> None:
    """2,000 connections of one stranger: one alert at once, one that counts the rest; another stranger has his own."""
    made = Trail(tmp_path, SOURCE)
    clock = [0.0]
    alerts = Alerts(tell=made.tell, process="receive host:1", ae_titles=("HILUM",), seconds=lambda: clock[0])
    listen(alerts.hear)
    try:
        for _ in range(2000):
            tell(AssociationRejected(calling_ae="EVIL", called_ae="HILUM", address="10.9.9.9", rejection="calling", reason="no peer"))
        clock[0] = 61.0
        tell(TooManyConnections(address="10.1.1.1"))
    finally:
        listen_no_more()
        alerts.close()
        made.close()
    told = trail(tmp_path)
    assert events(told) == ["Security Alert"] * 3
    assert [one.get("NetworkAccessPointID") for message in told for one in message.iter("ActiveParticipant")] == [
        None, "10.9.9.9", None, "10.9.9.9", None, "10.1.1.1",
    ]  # fmt: skip


def test_a_user_who_proved_himself_is_a_login(tmp_path: Path) -> None:
    """User identity that was checked is told as User Authentication; an association without it is not."""
    made = Trail(tmp_path, SOURCE)
    alerts = Alerts(tell=made.tell, process="receive host:1", ae_titles=("HILUM",))
    for user in (None, "tech7"):
        alerts.hear(
            AssociationAccepted(
                association="a1",
                calling_ae="CT1",
                called_ae="HILUM",
                address="10.0.0.1",
                peer="ct1",
                user=user,
                contexts=1,
                contexts_rejected=0,
            )
        )
    made.close()
    (login,) = of(trail(tmp_path), "User Authentication")
    assert [one.get("UserID") for one in login.iter("ActiveParticipant")] == ["tech7", "receive host:1"]
    assert users(login, "Application") == []


def test_logins_at_the_console_are_told_with_their_address(tmp_path: Path) -> None:
    """User Authentication, Login (A.5.3.12): who is in, and that somebody was refused, of whom only the address is known; guesses by the
    hundred are two messages."""
    made = Trail(tmp_path, SOURCE)
    alerts = Alerts(tell=made.tell, process="console host:1", ae_titles=("HILUM",))
    alerts.hear(ConsoleLogin(account="ada", role="admin", address="2001:db8::7"))
    for _ in range(100):
        alerts.hear(ConsoleLoginRefused(address="10.9.9.9", reason="name or password is wrong"))
    alerts.close()
    made.close()
    told = trail(tmp_path)
    assert events(told) == ["User Authentication"] * 3
    assert {one.get("csd-code") for message in told for one in message.iter("EventTypeCode")} == {"110122"}
    outcomes = [one for message in told for one in message.iter("EventIdentification")]
    assert [one.get("EventOutcomeIndicator") for one in outcomes] == ["0", "4", "4"]
    assert [one.findtext("EventOutcomeDescription") for one in outcomes] == [
        None,
        "login at the console refused: name or password is wrong",
        "login at the console refused: name or password is wrong (99 more within a minute)",
    ]
    people = [next(one for one in message.iter("ActiveParticipant") if one.get("UserIsRequestor") == "true") for message in told]
    assert [(one.get("UserID"), one.get("NetworkAccessPointID"), one.get("NetworkAccessPointTypeCode")) for one in people] == [
        ("ada", "2001:db8::7", "2"),
        ("10.9.9.9", "10.9.9.9", "2"),
        ("10.9.9.9", "10.9.9.9", "2"),
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which gives files away")
def test_what_root_begins_belongs_to_the_nodes_user(tmp_path: Path) -> None:
    """A command that root calls beside the node makes the folder, or the day's file: the node's user goes on in it."""
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    files = AuditFiles(home / "audit")
    files.make()
    files.append([b"<x/>"], DAY)
    (day,) = files.days()
    assert [(one.stat().st_uid, one.stat().st_gid, one.stat().st_mode & 0o777) for one in (files.folder, day)] == [
        (65534, 65534, 0o700),
        (65534, 65534, 0o600),
    ]


def test_configurations_that_change_are_told_each_time_with_who_asked(tmp_path: Path) -> None:
    """Security Alert, Software Configuration (A.5.3.11), about the file: what was written, what came into force (blocks and revision), and
    what was refused; there and back again within a minute are two changes, also where routing means the same, the same refusal twice is
    one, and another where other routes stay in force."""
    made = Trail(tmp_path, SOURCE)
    alerts = Alerts(tell=made.tell, process="supervisor host:1", ae_titles=("HILUM",))
    path, old, new = "/etc/hilum/hilum.yaml", "a" * 64, "b" * 64
    alerts.hear(ConfigSaved(block="routes", by="ada", address="10.0.0.9", path=path, before=old, config_digest=new, kept=""))
    alerts.hear(ConfigSaved(block="sinks", by="ada", address="10.0.0.9", path=path, before="", config_digest=old, kept=""))
    reloaded = ConfigReloaded(by="ada", path=path, blocks=("peers", "routes"), revision=7, before=old, config_digest=new, routes=2)
    alerts.hear(reloaded)
    alerts.hear(replace(reloaded, before=new, config_digest=old, revision=8))
    for number in (9, None):
        alerts.hear(replace(reloaded, before=old, config_digest=old, blocks=("engines",), revision=number))
    for _ in range(2):
        alerts.hear(ReloadRefused(by="ada", path=path, code="HLM-2003", reason="an unknown key", config_digest=old))
    alerts.hear(ReloadRefused(by="ada", path=path, code="HLM-2003", reason="an unknown key", config_digest=new))
    alerts.close()
    made.close()
    told = trail(tmp_path)
    assert events(told) == ["Security Alert"] * 9
    assert {one.get("csd-code") for message in told for one in message.iter("EventTypeCode")} == {"110131"}
    assert {one.get("ParticipantObjectID") for message in told for one in message.iter("ParticipantObjectIdentification")} == {
        "file:///etc/hilum/hilum.yaml"
    }
    said = [b64decode(one.get("value", "")).decode() for message in told for one in message.iter("ParticipantObjectDetail")]
    assert said == [
        "the configuration was written: `routes`: aaaaaaaaaaaa became bbbbbbbbbbbb",
        "the configuration was written: `sinks`",
        "a configuration came into force: `peers`, `routes` changed, revision 7: aaaaaaaaaaaa became bbbbbbbbbbbb",
        "a configuration came into force: `peers`, `routes` changed, revision 8: bbbbbbbbbbbb became aaaaaaaaaaaa",
        "a configuration came into force: `engines` changed, revision 9",
        "a configuration came into force: `engines` changed, revision not kept yet",
        "a configuration was refused: an unknown key (aaaaaaaaaaaa stays in force)",
        "a configuration was refused: an unknown key (bbbbbbbbbbbb stays in force)",
        "a configuration was refused: an unknown key (aaaaaaaaaaaa stays in force) (1 more within a minute)",
    ]
    people = {tuple((one.get("UserID"), one.get("NetworkAccessPointID")) for one in message.iter("ActiveParticipant")) for message in told}
    assert people == {(("supervisor host:1", None), ("ada", at)) for at in ("10.0.0.9", None)}, "who saved them came from an address"


def test_a_clock_that_was_set_ahead_deletes_no_file(tmp_path: Path) -> None:
    """Ten years ahead for a moment while the node runs: what was to be kept for a year is still there; a day later nobody doubts it."""
    seconds, now = [1000.0], [datetime(2026, 3, 10, 12, 0, tzinfo=UTC)]
    files = AuditFiles(tmp_path)
    files.make()
    files.append([b"<AuditMessage></AuditMessage>"], now[0])
    clock = MonotonicClock(lambda: now[0], seconds=lambda: seconds[0])
    sender = AuditForwarder(tmp_path, keep=timedelta(days=365), address=None, tls=Tls(ca=None, cert=None, key=None), clock=clock)
    for ahead in (timedelta(), timedelta(days=3650), timedelta(hours=2)):
        seconds[0] += ahead.total_seconds() if ahead < timedelta(days=1) else 1
        now[0] += ahead
        sender.turn()
        assert len(files.days()) == 1
    for _ in range(2):
        seconds[0] += 86_400
        now[0] += timedelta(days=1)
        sender.turn()
    assert files.days() == []
