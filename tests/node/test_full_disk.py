"""A whole node whose disk really fills: a scanner is refused, people are told, room is made, and there is one result, of the whole."""

from pathlib import Path

import httpx
import numpy as np
import pytest

from inference.imaging.write_series import write_series
from node.domain.account import Role
from tests.lab import dcmtk
from tests.lab.console import PASSWORD, console_port, let_in
from tests.lab.messages import webhook_server
from tests.lab.node import QUIET, Node, configuration
from tests.lab.program import wait_until
from tests.lab.small_disk import drop_ballast, fill, small_disk

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(600)]

_APPLICATIONS = Path(__file__).parents[2] / "bench" / "applications"
_ALL = 80
_TOLD_WITHIN_S = 10
_PATIENCE_S = 120
_MIN_FREE = 20 << 20
_FOR_SOME = 7 << 20
"""Room for some of the slices, 130 KB each, and for what the node writes beside them."""


def test_a_disk_that_fills_holds_what_came_over_a_kill_until_the_whole_is_there(tmp_path: Path) -> None:
    """Journal, spool and blobs lie on a small ext4. storescu is answered with 0xA700 from some slice on: list, console and messenger say so
    within ten seconds. Others fill the disk to its last byte, the node is killed, and comes up on the full disk, takes nothing and
    says so. Room is made, everything is sent again: one result, of all slices."""
    voxels = np.full((_ALL, 256, 256), -1000, np.int16)
    voxels[30:40, 100:150, 100:150] = 60
    affine = np.array([[0.0, 0, 1, -128], [0, 1, 0, -128], [2, 0, 0, 0], [0, 0, 0, 1]])
    files = write_series(voxels, affine, tmp_path / "in", modality="CT", patient_id="FULL")
    with small_disk(tmp_path / "disk", "ext4", 96) as disk, webhook_server() as posts:
        settings = configuration(
            disk,
            port=0,
            repository=tmp_path / "models",
            peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
            sinks={"one": {"kind": "folder", "path": str(tmp_path / "one")}},
            routes=[{"name": "all", "run": ["bench-threshold"], "send": ["one"]}],
            notify={"webhook": {"url": f"http://127.0.0.1:{posts.port}/in"}},
            console={"listen": "127.0.0.1:0"},
        )
        settings["models"] = {"repository": str(tmp_path / "models"), "applications": [str(_APPLICATIONS)]}
        settings["store"] = {**settings["store"], "min_free": "20MiB"}  # type: ignore[dict-item]
        with Node(settings, tmp_path / "node") as node:
            let_in(node, "otto", Role.OPERATOR)
            with httpx.Client(base_url=f"http://127.0.0.1:{console_port(node)}", timeout=_PATIENCE_S, trust_env=False) as browser:
                browser.post("/login", data={"name": "otto", "password": PASSWORD})
                fill(disk, leave_bytes=_MIN_FREE + _FOR_SOME)
                said = dcmtk.storescu(node.port, *files, calling="SCANNER", options=["-nh"])
                came = said.text.count("(Success)")
                assert 0 < came < _ALL
                assert said.text.count("OutOfResources") == _ALL - came

                def told() -> bool:
                    (study,) = node.studies()
                    says = f"{came} of {_ALL} instances came"
                    page, heard = browser.get("/studies").text, str(posts.content)
                    return study["state"] == "incomplete" and says in study["reason"] and "incomplete" in page and says in heard

                wait_until(told, 1 + _TOLD_WITHIN_S, "list, console and messenger say that it is short", every_s=0.3)
            fill(disk)
            assert dcmtk.storescu(node.port, *files[came:], calling="SCANNER", options=["-nh"]).code != 0
            node.kill()
            posts.came.clear()
            node.start()
            wait_until(
                lambda: "its journal's disk is full" in str(posts.content), _TOLD_WITHIN_S, "the messenger says why it takes nothing"
            )
            assert dcmtk.storescu(node.port, *files[came:], calling="SCANNER", options=["-nh"]).code != 0
            drop_ballast(disk)

            def sent() -> bool:
                return dcmtk.storescu(node.port, *files, calling="SCANNER", options=["-nh"]).text.count("(Success)") == _ALL

            wait_until(sent, _PATIENCE_S, "the whole is taken", every_s=1)
            (job,) = node.wait_for_jobs(lambda jobs: any(one["state"] == "done" for one in jobs), _PATIENCE_S, "the whole is analysed")
            assert node.hilum("jobs", "show", job["id"], "--json").json["instances"] == _ALL
            assert not node.hilum("studies", "list", "--json").json[0]["incomplete"]
