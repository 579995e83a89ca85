"""Replaying routes: what an edited rule would have done to 100,000 studies, each of one header as a scanner writes it that makes one
multi-frame image of a series."""

import tempfile
import time
from collections.abc import Mapping, Sequence
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
  native: {{contrast: {{in: [native, unknown]}}, none_of: [ContrastBolusAgent: {{exists: true}}]}}
peers: {{ct1: {{ae_title: CT1, address: "127.0.0.1:0"}}, pacs: {{ae_title: PACS, address: "127.0.0.1:104"}}}}
sinks: {{archive: {{kind: dimse, peer: pacs}}, copies: {{kind: folder, path: out}}}}
routes:
  - name: lungs
    from: [ct1]
    when: {{is: [lungs, native], Modality: CT, SliceThickness: {{max: 5}}, plane: axial}}
    choose: lungs
    prefer: [thinnest, {{ConvolutionKernel: {{matches: "^B[23]"}}}}, newest]
    run: [ct-lung]
    send: [archive]
  - name: thoraxes
    when: {{Modality: CT, BodyPartExamined: THORAX, SliceThickness: {{max: 3}}}}
    choose: lungs
    run: [ct-lung]
    send: [copies]
  - name: at night
    hours: {{between: [22:00, 06:00]}}
    when: {{Modality: MR, "(0019,xx0C) SIEMENS MR HEADER": {{min: 500}}}}
    run: [mr-brain]
    send: [archive]
  - name: contrasts
    when: {{Modality: MR}}
    run: four-contrasts
    roles: {{T1: {{SeriesNumber: 1}}, T1c: {{SeriesNumber: 2}}, T2: {{SeriesNumber: 3}}, FLAIR: {{SeriesNumber: 4}}}}
    send: [archive]
  - name: what is left
    else: true
    when: {{Modality: CT, SliceThickness: {{max: 5}}}}
    run: [ct-lung]
    send: [copies]
"""
"""The language as it grew: definitions, blocks, derived words, one winner of two routes, hours, roles, private elements, what is left."""
_EDIT = ("SliceThickness: {max: 5}", "SliceThickness: {max: 3}")
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


def differing(studies: int) -> int:
    """How many of them the edited rule decides otherwise, by arithmetic: of each 24 two chests and two thoraxes of 4 and 5 mm."""
    return sum(1 for number in range(studies) if number // 6 % 4 in (0, 2) and number % 6 + 1 in (4, 5))


def fill(url: str, studies: int, config: Config) -> None:
    """Give the empty journal at `url` studies of one header each, a minute apart, decided by the routes of `config`. Rows only."""
    Journal.open(url).close()
    engine, _, _ = connect(url)
    start = _END - timedelta(minutes=studies)
    for first in range(1, studies + 1, _AT_ONCE):
        rows: dict[Table, list[Mapping[str, Any]]] = {}
        for number in range(first, min(first + _AT_ONCE, studies + 1)):
            for table, row in _rows(number, start + timedelta(minutes=number), config):
                rows.setdefault(table, []).append(row)
        with engine.execution_options(hilum_writes=True).begin() as connection:
            for table, made in rows.items():
                connection.execute(insert(table), made)
    engine.dispose()


def _rows(number: int, now: datetime, config: Config) -> list[tuple[Table, Mapping[str, Any]]]:
    at, study, series = micros(now), f"2.25.4711.{number}", f"2.25.4711.{number}.1"
    header = _header(number - 1, f"{now:%Y%m%d}")
    instance = {
        "id": number,
        "sop_instance_uid": f"{series}.1",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "study_instance_uid": study,
        "series_instance_uid": series,
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "blob": f"instances/{number}-0.dcm",
        "size": 526_000,
        "digest": f"{number:064x}",
        "calling_ae": "CT1",
        "called_ae": "HILUM",
        "address": "127.0.0.1",
        "peer": "ct1",
        "received_at": at,
        "standing": "current",
        "header_base": number,
        "header_delta": difference(header, header),
    }
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
        "instances": 1,
    }
    view = SeriesView(series_instance_uid=series, header=header, instances=1, images=1)

    def decided(routes: Sequence[Route], taken: Mapping[str, str]) -> list[Decision]:
        return decide(routes, [view], peer="ct1", calling="CT1", called="HILUM", now=now, taken=taken, came=now)

    decisions = in_turn(config.routes, decided, lambda _, one: one.chosen)
    return [
        (schema.series_header, {"id": number, "series_instance_uid": series, "content": whole(header)}),
        (schema.instance, instance),
        (schema.arrival, arrival),
        (schema.arrival_instance, {"arrival_id": number, "instance_id": number}),
        (schema.event, {"at": at, "subject": "arrival", "subject_id": number, "name": "arrival.routed", "detail": ""}),
        *(
            (
                schema.decision,
                {
                    "arrival_id": number,
                    "position": position,
                    "route": one.route,
                    "series_instance_uid": series,
                    "matched": one.matched,
                    "chosen": one.chosen,
                    "tried": tried_text(one),
                    "reason": one.reason,
                },
            )
            for position, one in enumerate(decisions)
        ),
    ]


def configs(folder: Path, file: str = _FILE) -> tuple[Config, Config]:
    """Those that decided, and those with the edited rule."""
    folder.mkdir(parents=True, exist_ok=True)
    before, edited = folder / "hilum.yaml", folder / "edited.yaml"
    before.write_text(file, encoding="utf-8")
    edited.write_text(file.replace(*_EDIT, 1), encoding="utf-8")
    return load(before), load(edited)


def measure() -> list[Row]:
    """Fill journals, replay all of them by the edited rule, and compare what comes out with arithmetic."""
    # what the edited rule leaves, the fallback takes: two routes of each study are decided otherwise
    return [*_measured("", _FILE, differing(STUDIES)), *_measured(", with most of the language", _LANGUAGE, 2 * differing(STUDIES))]


def _measured(how: str, file: str, differ: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as folder:
        before, edited = configs(Path(folder), file)
        url = f"sqlite:{folder}/journal.db"
        say(f"{STUDIES} studies are made{how}")
        fill(url, STUDIES, before)
        say("and replayed")
        journal = Journal.open(url)
        began, began_cpu = time.monotonic(), time.process_time()
        replay = Replay(journal.routing_history, edited.routes, edited.digest, cache(partial(application, edited)))
        found = [one.arrival.id for one in replay.differences(_END - timedelta(days=36_500))]
        took_s, cpu_s = time.monotonic() - began, time.process_time() - began_cpu
        journal.close()
    exact = len(found) == differ and replay.counted.decided == STUDIES
    return [
        Row(name=f"replay: {STUDIES} study headers{how}", value=took_s, unit="s", goal=f"< {_GOAL_S:.0f} s", met=took_s < _GOAL_S),
        Row(name=f"replay: {STUDIES} study headers{how}, processor", value=cpu_s, unit="s"),
        Row(name=f"replay: differences of one edited rule{how}", value=len(found), unit="", goal=f"{differ}, exactly", met=exact),
    ]
