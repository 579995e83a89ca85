"""A study that routing cannot bear, on a real node: parked with its sentence, while all others go on and come out once."""

from pathlib import Path

import pytest

from tests.lab.messages import webhook_server
from tests.lab.node import Node
from tests.lab.program import wait_until
from tests.lab.wrapping import path_of
from tests.node.test_metrics import _scraped, _send, _settings, _study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_PATIENCE_S = 180
INSIDE = Path(__file__).parent / "inside"


def test_studies_that_loop_and_that_kill_are_parked_while_others_are_delivered(tmp_path: Path) -> None:
    """One whose routing never ends, one over which the process that routes dies: three attempts each, then parked with code, sentence and
    attempts, told, counted; two others come out once, before anybody did anything. Put back by an operator, once the node is mended, they
    come out as well."""
    stalls = tmp_path / "stalls"
    stalls.mkdir()
    (stalls / "poison").touch()
    with webhook_server() as posts:
        settings = _settings(tmp_path)
        settings["notify"] = {"webhook": {"url": f"http://127.0.0.1:{posts.port}/in"}, "every": "1s"}
        # three attempts of a loop without an end take three times as long as a step may
        environment = {"PYTHONPATH": path_of(INSIDE), "HILUM_STALLS": str(stalls), "HILUM_STEP_S": "1"}
        with Node(settings, tmp_path, environment=environment) as node:
            for patient in ("BEFORE", "LOOP", "DIE", "AFTER"):
                assert _send(node, _study(tmp_path / patient, patient, 8)) == [0] * 8
            node.wait_for_jobs(lambda jobs: [one["state"] for one in jobs] == ["done"] * 2, _PATIENCE_S, "the others are analysed")

            def parked() -> dict[str, dict[str, object]]:
                return {str(one["code"]): one for one in node.studies() if one["state"] == "parked"}

            wait_until(lambda: len(parked()) == 2, _PATIENCE_S, "both are parked")
            looping, deadly = parked()["HLM-3088"], parked()["HLM-3089"]
            assert (looping["attempts"], deadly["attempts"]) == (3, 3)
            assert str(looping["reason"]).startswith("matching and deciding took more than 1.")
            assert deadly["reason"] == "the process that routed it ended in the middle of it"
            wait_until(lambda: _scraped(node).sum("hilum_arrivals", state="parked") == 2, _PATIENCE_S, "they are counted")

            def told() -> list[str]:
                return sorted(one["code"] for post in posts.content for one in post["items"] if one["about"] == "parked")

            wait_until(lambda: told() == ["HLM-3088", "HLM-3089"], _PATIENCE_S, "people are told of each once")
            (stalls / "poison").unlink()
            for study in (looping, deadly):
                assert node.hilum("studies", "retry", study["study_uid"]).code == 0
            node.wait_for_jobs(lambda jobs: [one["state"] for one in jobs] == ["done"] * 4, _PATIENCE_S, "all are analysed")
            assert [one["state"] for one in node.studies()] == ["done"] * 4
        events = node.events()
    deaths = [one for one in events if one["event"] == "process.died"]
    assert [(one["stage"], one["exit_code"]) for one in deaths] == [("flow", -9)] * 3
    assert len(list((tmp_path / "results").rglob("*.dcm"))) == 4 * 3
