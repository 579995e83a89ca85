"""A real Prometheus scrapes a real node, evaluates the shipped rules and answers every query of the shipped dashboard."""

import math
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from inference.imaging.write_series import write_series
from node.observe import exposition, metrics
from node.observe.instruments import Counter, Fact, Gauge, Histogram, count_in
from node.observe.shared_memory import SharedCells
from tests.lab.dashboards import ALERTS, expressions
from tests.lab.needs import program
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.program import wait_until
from tests.lab.prometheus import Prometheus, promtool
from tests.lab.scrape import Scraped

_APPLICATIONS = Path(__file__).parents[2] / "bench" / "applications"
_PATIENCE_S = 90
# nothing of the kind happens to this node
_SILENT = {
    *("Jobs that ended badly", "Tried again", "Stages and processes"),
    *("Time of a call", "Calls by outcome", "Calls under way (mean)", "Waiting in the engine", "Models in use"),
    *("Deliveries waiting", "Jobs by priority", "Age of the oldest"),
}


def test_promtool_accepts_the_rules() -> None:
    """Syntax, templates, durations."""
    checked = promtool("check", "rules", ALERTS)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "16 rules found" in checked.stdout


def test_the_rules_fire_for_what_they_are_for(tmp_path: Path) -> None:
    """By Prometheus' own rule tester: made series in, alerts out, each after its `for`; and none on a node that is well."""
    well = [
        {"series": 'up{job="hilum",instance="a"}', "values": "1x120"},
        {"series": 'hilum_process_up{instance="a",process="flow"}', "values": "1x120"},
        {"series": 'hilum_journal_up{instance="a"}', "values": "1x120"},
        {"series": 'hilum_instances_total{instance="a",peer="ct1",status="0000"}', "values": "0+60x120"},
        {"series": 'hilum_instances_total{instance="a",peer="ct1",status="A700"}', "values": "0x120"},
        {"series": 'hilum_jobs_ended_total{instance="a",application="ct-lung",state="done",code=""}', "values": "0+1x120"},
        {"series": 'hilum_disk_free_bytes{instance="a",folder="blobs"}', "values": "1000000000x120"},
        {"series": 'hilum_disk_used_ratio{instance="a",folder="blobs"}', "values": "0.5x120"},
    ]
    ill = [
        {"series": 'up{job="hilum",instance="b"}', "values": "1x60 0x60"},
        {"series": 'hilum_process_up{instance="b",process="flow"}', "values": "0x120"},
        {"series": 'hilum_process_beat_age_seconds{instance="b",process="work 1"}', "values": "0+60x120"},
        {"series": 'hilum_journal_up{instance="b"}', "values": "0x120"},
        {"series": 'hilum_instances_total{instance="b",peer="ct2",status="A700"}', "values": "0x100 1x20"},
        {"series": 'hilum_jobs_ended_total{instance="b",application="mr-brain",state="done",code=""}', "values": "0+1x120"},
        {"series": 'hilum_jobs_ended_total{instance="b",application="mr-brain",state="parked",code="HLM-4002"}', "values": "0+1x120"},
        {"series": 'hilum_disk_free_bytes{instance="b",folder="blobs"}', "values": "12000000000-10000000x120"},
        {"series": 'hilum_disk_used_ratio{instance="b",folder="blobs"}', "values": "0.9x120"},
        {"series": 'hilum_inbox_oldest_seconds{instance="b"}', "values": "0+60x120"},
        {"series": 'hilum_engine_up{instance="b",engine="gpu"}', "values": "0x120"},
        {"series": 'hilum_model_info{instance="b",engine="gpu",model="m/1",digest="aaaa"}', "values": "1x120"},
        {"series": 'hilum_model_info{instance="c",engine="gpu",model="m/1",digest="bbbb"}', "values": "1x120"},
        {"series": 'hilum_jobs_oldest_seconds{instance="b",state="queued",priority="urgent",application="mr-brain"}', "values": "0+60x120"},
        {"series": 'hilum_deliveries_oldest_seconds{instance="b",sink="archive",state="waiting"}', "values": "0+60x120"},
        {"series": 'hilum_jobs{instance="b",state="parked",priority="routine",application="mr-brain"}', "values": "3x120"},
        {"series": 'hilum_deliveries{instance="b",sink="archive",state="parked"}', "values": "1x120"},
        {"series": 'hilum_study_seconds_bucket{instance="b",application="mr-brain",sink="archive",le="600"}', "values": "0x120"},
        {"series": 'hilum_study_seconds_bucket{instance="b",application="mr-brain",sink="archive",le="3600"}', "values": "0+1x120"},
        {"series": 'hilum_study_seconds_bucket{instance="b",application="mr-brain",sink="archive",le="+Inf"}', "values": "0+1x120"},
    ]
    named = [rule["alert"] for rule in YAML(typ="safe").load(ALERTS)["groups"][0]["rules"]]
    # needs a week of history
    fires = [name for name in named if name != "HilumNothingComes"]
    checks = [{"expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) > bool 0', "eval_time": "110m"} for name in fires]
    one = [{"labels": "{}", "value": 1}]
    tests = [
        {"interval": "1m", "input_series": well, "promql_expr_test": [{"expr": "ALERTS", "eval_time": "110m", "exp_samples": []}]},
        {"interval": "1m", "input_series": well + ill, "promql_expr_test": [{**check, "exp_samples": one} for check in checks]},
    ]
    written = tmp_path / "test.yml"
    with written.open("w") as file:
        YAML(typ="safe").dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}, file)
    checked = promtool("test", "rules", written)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.slow
def test_prometheus_reads_a_node_and_answers_the_dashboard(tmp_path: Path) -> None:
    """A study goes through while it is scraped every second: the counts arrive, every query of the dashboard is one and has an answer,
    every rule is healthy, no alert fires."""
    folder = tmp_path / "node"
    settings = configuration(
        folder,
        port=0,
        repository=folder / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(folder / "results")}},
        routes=[{"name": "all CT", "when": {"Modality": "CT"}, "run": ["bench-threshold"], "send": ["results"]}],
    )
    settings["node"] = {"ae_title": "HILUM", "listen": "127.0.0.1:0", "metrics": "127.0.0.1:0"}
    settings["models"] = {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}
    voxels = np.full((12, 64, 64), -1000, np.int16)
    voxels[:, 20:30, 10:30] = 60
    affine = np.array([[0.0, 0, 1, -32], [0, 1, 0, -32], [2, 0, 0, 0], [0, 0, 0, 1]])
    files = write_series(voxels, affine, tmp_path / "in", modality="CT", patient_id="PROMETHEUS")
    with Node(settings, folder) as node:
        metrics_port = node.metrics_port
        assert metrics_port is not None
        with Prometheus(tmp_path / "prometheus", metrics_port, [ALERTS]) as prometheus:
            wait_until(lambda: prometheus.value("count_over_time(up[1m])") >= 3, _PATIENCE_S, "three scrapes")
            said = hilum("send", files[0].parent, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER")
            assert said.code == 0, said.out + said.err
            done = 'hilum_jobs_ended_total{state="done"}'
            wait_until(lambda: prometheus.value(done) == 1, _PATIENCE_S, "Prometheus knows of the job")
            # a rate needs two scrapes after the change
            wait_until(lambda: prometheus.value(f"count_over_time({done}[1m])") >= 3, _PATIENCE_S, "three scrapes more")
            answered: set[str] = set()
            came = 'hilum_instances_total{status="0000",peer="scanner"}'

            def one_scrape_has_them() -> bool:
                """One that took more than its second has nothing, until the next."""
                (target,) = prometheus.targets()
                # the series was there at 0 before the first instance came: a rate sees it (extrapolated to the window's ends)
                grew = prometheus.value(f"increase({came}[10m])") >= 12
                return (target["health"], target["lastError"], prometheus.value(came), grew) == ("up", "", 12, True)

            def the_dashboard_is_answered() -> bool:
                answered.update(title for title, expression in expressions() if title not in answered and prometheus.query(expression))
                return {title for title, _ in expressions()} - answered <= _SILENT

            def its_time_is_the_nodes() -> bool:
                way = prometheus.value("hilum_study_seconds_sum / hilum_study_seconds_count")
                return math.isclose(way, Scraped(metrics_port).sum("hilum_study_seconds_sum"))

            for holds in (one_scrape_has_them, the_dashboard_is_answered, its_time_is_the_nodes):
                wait_until(holds, _PATIENCE_S, holds.__name__, every_s=1)
            rules = prometheus.rules()
            assert len(rules) == 16
            assert {rule["health"] for rule in rules} == {"ok"}
            assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []


def test_promtool_finds_no_fault_with_the_exposition() -> None:
    """Its linter knows the conventions of names, help and units; it reads what every metric looks like once it was counted."""
    cells = SharedCells.make()
    count_in(cells)
    facts = []
    for metric in vars(metrics).values():
        labels = dict.fromkeys(getattr(metric, "labels", ()), "x")
        match metric:
            case Counter():
                metric.add(**labels)
            case Histogram():
                metric.observe(1.0, **labels)
            case Gauge():
                metric.set(1.0, **labels)
            case Fact():
                facts.append(metric.of(1.0, **labels))
    count_in(SharedCells.alone())
    checked = subprocess.run(
        [program("promtool", "prometheus"), "check", "metrics"],
        input=exposition.text([cells], facts),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (checked.returncode, checked.stdout.decode() + checked.stderr.decode()) == (0, "")
