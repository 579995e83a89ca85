"""Replaying routes: what an edited rule would have done to 100,000 series, each of one header as a scanner writes it that makes one
multi-frame image of a series."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

from sqlalchemy import Table, insert

from bench.rows import Row, say
from node.assembly.compose import application
from node.assembly.configuration import load
from node.domain.instance import Value
from node.domain.route import Decision, Route
from node.journal import schema
from node.journal.database import connect
from node.journal.instances import difference, whole
from node.journal.journal import Journal
from node.journal.rows import micros, tried_text
from node.routing.decisions import SeriesView, decide
from node.routing.replay import Replay
from node.routing.untaken import in_turn
from node.settings.config import Config

STUDIES = 100_000
_GOAL_S = 60.0
_AT_ONCE = 5_000
_END = datetime(2026, 3, 1, tzinfo=UTC)
_FILE = """\
peers: {ct1: {ae_title: CT1, address: "127.0.0.1:0"}, pacs: {ae_title: PACS, address: "127.0.0.1:104"}}
sinks: {archive: {kind: dimse, peer: pacs}, copies: {kind: folder, path: out}}
routes:
  - name: lungs
    from: [ct1]
    when:
      StudyDate: {within: 7d}
      Modality: CT
      BodyPartExamined: {in: [CHEST, THORAX]}
      SliceThickness: {max: 5}
      SeriesDescription: {matches: "(?i)lung|thorax"}
    run: [ct-lung]
    send: [archive]
  - name: lungs elsewhere
    when: {Modality: CT, BodyPartExamined: ABDOMEN, ImageType: {not: LOCALIZER}}
    run: [ct-lung]
    send: [copies]
  - name: brain
    when: {Modality: MR, SeriesDescription: {matches: "(?i)t1|mprage|bravo|spgr"}, NumberOfSeriesRelatedInstances: {min: 20}}
    run: [mr-brain]
    send: [archive]
"""
_APPLICATIONS = Path(__file__).resolve().parents[1] / "tests/node/applications"
_LANGUAGE = f"""\
models: {{applications: [{_APPLICATIONS}]}}
schedule: {{timezone: Europe/Berlin}}
define:
  lungs: {{any_of: [BodyPartExamined: {{in: [CHEST, THORAX]}}, StudyDescription: {{matches: "(?i)chest|thorax"}}]}}
  native: {{contrast: {{in: [native, unknown]}}, none_of: [ContrastBolusAgent: {{matches: "(?i)omnipaque|iomeron"}}]}}
  emergency:
    any_of:
      - RequestedProcedureCodeSequence: {{code: ["99RIS:CTTHXSTAT", "99RIS:CTPE"]}}
      - all_of: [RequestedProcedureDescription: {{matches: "(?i)stat|notfall"}}, CurrentPatientLocation: {{matches: "^(ER|ICU)"}}]
peers: {{ct1: {{ae_title: CT1, address: "127.0.0.1:0"}}, pacs: {{ae_title: PACS, address: "127.0.0.1:104"}}}}
sinks: {{archive: {{kind: dimse, peer: pacs}}, copies: {{kind: folder, path: out}}}}
routes:
  - name: lungs
    from: [ct1]
    to: [HILUM]
    when: {{is: [lungs, native], Modality: CT, SliceThickness: {{max: 5}}, plane: axial, age: {{min: 18y}}, ImageType: {{not: LOCALIZER}}}}
    choose: lungs
    prefer: [thinnest, {{ConvolutionKernel: {{matches: "^B[23]"}}}}, newest, most images]
    run: [ct-lung]
    deadline: 30m
    send: [archive]
  - name: thoraxes
    when: {{Modality: CT, BodyPartExamined: THORAX, SliceThickness: {{max: 3}}, none_of: [is: native]}}
    choose: lungs
    run: [ct-lung]
    send: [copies]
  - name: emergencies
    when: {{is: emergency, Modality: CT, StudyDate: {{within: 7d}}}}
    run: [ct-lung@1]
    priority: urgent
    send: [archive]
    profile: triage
  - name: weekends and nights
    each: true
    when:
      Modality: CT
      BodyPartExamined: {{in: [HEAD, CHEST]}}
      any_of: [StudyDate: {{weekday: [sat, sun]}}, StudyTime: {{between: [22:00, 06:00]}}]
    run: [ct-lung]
    send: [copies]
  - name: a sample
    when: {{Modality: CT, BodyPartExamined: HEAD}}
    sample: 10%
    run: [ct-lung]
    send: [copies]
  - name: at night
    hours: [{{between: [22:00, 06:00]}}, {{weekday: [sat, sun]}}]
    when: {{Modality: MR, "(0019,xx0C) SIEMENS MR HEADER": {{min: 500}}}}
    run: [mr-brain]
    send: [archive]
  - name: with a scout
    any_series: {{ImageType: LOCALIZER}}
    all_series: {{Modality: CT}}
    when: {{Modality: CT, BodyPartExamined: CHEST}}
    needs: {{series: {{scout: {{ImageType: LOCALIZER}}}}, within: 5m, otherwise: ignore}}
    run: [ct-lung]
    send: [archive]
  - name: contrasts
    when: {{Modality: MR}}
    run: four-contrasts
    roles: {{T1: {{SeriesNumber: 1}}, T1c: {{SeriesNumber: 2}}, T2: {{SeriesNumber: 3}}, FLAIR: {{SeriesNumber: 4}}}}
    send: [archive]
  - name: not yet
    disabled: true
    when: {{Modality: CT, ProcedureCodeSequence: {{code: "LN:24627-2"}}, AnatomicRegionSequence: {{code: "SCT:51185008"}}}}
    run: [ct-lung]
    send: [archive]
  - name: what is left
    else: true
    when: {{Modality: CT, SliceThickness: {{max: 5}}}}
    run: [ct-lung]
    send: [copies]
"""
"""All of the language: definitions, blocks, codes, private elements, derived words, times, days and hours, one winner of two routes by an
order, a sample, conditions on the study, series that are needed, roles, versions and profiles, what is left, and what is off."""
_EDIT = ("SliceThickness: {max: 5}", "SliceThickness: {max: 3}")
ROOT = "1.2.276.0.4711"
"""Of the UIDs: a scanner's, for what begins with 2.25 is looked at as if the node might have derived it."""
_PARTS = ("CHEST", "ABDOMEN", "THORAX", "HEAD")


def _header(number: int, day: str) -> dict[str, tuple[Value, ...]]:
    """Sixty keywords, as many as such a header has that say something; slices of 1 to 6 mm, four parts of the body."""
    thickness = float(number % 6 + 1)
    header: dict[str, tuple[Value, ...]] = {f"XRayTubeCurrentInuA{each}": (float(each), "SIEMENS") for each in range(48)}
    return {
        **header,
        "Modality": ("CT",),
        "ImageType": ("ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"),
        "StudyDate": (day,),
        "PatientID": (f"P{number}",),
        "PatientName": ("Doe^Jane",),
        "BodyPartExamined": (_PARTS[number // 6 % 4],),
        "SliceThickness": (thickness,),
        "SeriesDescription": (f"Thorax {thickness:.1f} Br38f",),
        "SeriesNumber": (2,),
        "NumberOfFrames": (200,),
        "ImageOrientationPatient": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        "PixelSpacing": (0.9765625, 0.9765625),
    }


def _told_header(number: int, at: datetime) -> dict[str, tuple[Value, ...]]:
    """A header that all of the language has something to ask of: two series of a study, with a soft kernel and with a sharp one."""
    study, sharp = divmod(number, 2)
    return {
        **_header(study, f"{at:%Y%m%d}"),
        "StudyInstanceUID": (f"{ROOT}.{study + 1}",),
        "StudyTime": (f"{at:%H%M%S}",),
        "SeriesDate": (f"{at:%Y%m%d}",),
        "SeriesTime": (f"{at:%H%M%S}",),
        "SeriesNumber": (2 + sharp,),
        "ConvolutionKernel": ("B70f" if sharp else "B30f",),
        "PatientAge": ("012Y" if study % 7 == 0 else "044Y",),
        "ContrastBolusAgent": ("Omnipaque 350" if study % 5 == 0 else "NONE",),
        "ProtocolName": ("CAP",),
        "StudyDescription": ("CT",),
        "ProcedureCodeSequence": ("LN:24627-2",),
        "AnatomicRegionSequence": ("SCT:51185008",),
        "RequestedProcedureCodeSequence": ("99RIS:CTPE" if study % 11 == 0 else "99RIS:CT",),
        "RequestedProcedureDescription": ("stat",),
        "CurrentPatientLocation": ("WARD 4",),
        "(0019,xx0C) SIEMENS MR HEADER": (1000,),
    }


def differing(studies: int) -> int:
    """How many of them the edited rule decides otherwise, by arithmetic: of each 24 two chests and two thoraxes of 4 and 5 mm."""
    return sum(1 for number in range(studies) if number // 6 % 4 in (0, 2) and number % 6 + 1 in (4, 5))


def _told_differing(studies: int) -> int:
    """With all of the language, by arithmetic: decisions, of adults without contrast. The soft series is no longer one of lungs; what is
    left takes it in place of the sharp one, unless emergencies take it as well, or weekends and nights both."""
    differ = 0
    for study in range(studies):
        at = _came(study + 1, studies)
        if not (study // 6 % 4 in (0, 2) and study % 6 + 1 in (4, 5) and study % 7 and study % 5):
            continue
        by_both = study // 6 % 4 == 0 and (at.weekday() >= 5 or not 6 <= at.hour < 22)
        by_one = study % 11 == 0  # emergencies take the soft one, as lungs do
        differ += 1 if by_both or by_one else 3
    return differ


def _came(number: int, studies: int) -> datetime:
    return _END - timedelta(minutes=studies - number)


def fill(url: str, studies: int, config: Config, *, told: bool = False) -> None:
    """Give the empty journal at `url` studies a minute apart, decided by the routes of `config`: of one header each, or, `told`, of two
    that all of the language has something to ask of. Rows only."""
    Journal.open(url).close()
    engine, _, _ = connect(url)
    for first in range(1, studies + 1, _AT_ONCE):
        rows: dict[Table, list[Mapping[str, Any]]] = {}
        for number in range(first, min(first + _AT_ONCE, studies + 1)):
            at = _came(number, studies)
            if told:
                headers = {2 * number - 1 + each: _told_header(2 * (number - 1) + each, at) for each in range(2)}
            else:
                headers = {number: _header(number - 1, f"{at:%Y%m%d}")}
            for table, row in _rows(number, headers, at, config):
                rows.setdefault(table, []).append(row)
        with engine.execution_options(hilum_writes=True).begin() as connection:
            for table, made in rows.items():
                connection.execute(insert(table), made)
    engine.dispose()


def _rows(
    number: int, headers: Mapping[int, dict[str, tuple[Value, ...]]], now: datetime, config: Config
) -> Iterator[tuple[Table, Mapping[str, Any]]]:
    """Of one study: `headers` by the row of their instance, each of a series of its own."""
    at, study = micros(now), f"{ROOT}.{number}"
    arrival = {
        "id": number,
        "peer": "ct1",
        "study_instance_uid": study,
        "series_instance_uid": "",
        "called_ae": "HILUM",
        "state": "routed",
        "revision": 1,
        "opened_at": at,
        "last_instance_at": at,
        "due_at": at,
        "completed_at": at,
        "completed_by": "quiet",
        "config_digest": config.digest,
        "instances": len(headers),
    }
    yield schema.arrival, arrival
    yield schema.event, {"at": at, "subject": "arrival", "subject_id": number, "name": "arrival.routed", "detail": ""}
    views = []
    for row, header in headers.items():
        series = f"{ROOT}.{number}.{row}"
        views.append(SeriesView(series_instance_uid=series, header=header, instances=1, images=1))
        instance = {
            "id": row,
            "sop_instance_uid": f"{series}.1",
            "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
            "study_instance_uid": study,
            "series_instance_uid": series,
            "transfer_syntax_uid": "1.2.840.10008.1.2.1",
            "blob": f"instances/{row}-0.dcm",
            "size": 526_000,
            "digest": f"{row:064x}",
            "calling_ae": "CT1",
            "called_ae": "HILUM",
            "address": "127.0.0.1",
            "peer": "ct1",
            "received_at": at,
            "standing": "current",
            "header_base": row,
            "header_delta": difference(header, header),
        }
        yield schema.series_header, {"id": row, "series_instance_uid": series, "content": whole(header)}
        yield schema.instance, instance
        yield schema.arrival_instance, {"arrival_id": number, "instance_id": row}

    def decided(routes: Sequence[Route], taken: Mapping[str, str]) -> list[Decision]:
        return decide(routes, views, peer="ct1", calling="CT1", called="HILUM", now=now, taken=taken, came=now)

    for position, one in enumerate(in_turn(config.routes, decided, lambda _, one: one.chosen)):
        decision = {
            "arrival_id": number,
            "position": position,
            "route": one.route,
            "series_instance_uid": one.series_instance_uid,
            "matched": one.matched,
            "chosen": one.chosen,
            "tried": tried_text(one),
            "reason": one.reason,
        }
        yield schema.decision, decision


def configs(folder: Path, file: str = _FILE) -> tuple[Config, Config]:
    """Those that decided, and those with the edited rule."""
    folder.mkdir(parents=True, exist_ok=True)
    before, edited = folder / "hilum.yaml", folder / "edited.yaml"
    before.write_text(file, encoding="utf-8")
    edited.write_text(file.replace(*_EDIT, 1), encoding="utf-8")
    return load(before), load(edited)


def measure() -> list[Row]:
    """Fill journals, replay all of them by the edited rule, and compare what comes out with arithmetic."""
    return [
        *_measured("", _FILE, STUDIES, differing(STUDIES)),
        *_measured(", all of the language", _LANGUAGE, STUDIES // 2, _told_differing(STUDIES // 2), told=True),
    ]


def _measured(how: str, file: str, studies: int, differ: int, *, told: bool = False) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as folder:
        before, edited = configs(Path(folder), file)
        url = f"sqlite:{folder}/journal.db"
        say(f"{studies} studies are made{how}")
        fill(url, studies, before, told=told)
        say("and replayed")
        journal = Journal.open(url)
        began, began_cpu = time.monotonic(), time.process_time()
        replay = Replay(journal.routing_history, edited.routes, edited.digest, cache(partial(application, edited)))
        found = [one.arrival.id for one in replay.differences(_END - timedelta(days=36_500))]
        took_s, cpu_s = time.monotonic() - began, time.process_time() - began_cpu
        journal.close()
    exact = len(found) == differ and replay.counted.decided == studies
    return [
        Row(name=f"replay: {STUDIES} headers{how}", value=took_s, unit="s", goal=f"< {_GOAL_S:.0f} s", met=took_s < _GOAL_S),
        Row(name=f"replay: {STUDIES} headers{how}, processor", value=cpu_s, unit="s"),
        Row(name=f"replay: differences of one edited rule{how}", value=len(found), unit="", goal=f"{differ}, exactly", met=exact),
    ]
