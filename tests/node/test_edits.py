"""The configuration is edited again and again while studies come in: every second edit is broken, and in the middle one goes back."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from node.assembly.configuration import load
from tests.lab.edits import Edits, Senders, judged, timed, variant
from tests.lab.node import Node
from tests.lab.program import wait_until
from tests.node.test_reload import settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_FOR_S = 20.0
_PATIENCE_S = 240


def test_no_study_is_lost_mixed_or_refused_while_the_configuration_is_edited(tmp_path: Path) -> None:
    """Each study is judged by the routes of one edit and has its results in that edit's sink, once; no C-STORE and no association is
    refused, whatever is edited, refused and taken back meanwhile."""
    says: dict[str, Any] = settings(tmp_path, "none")
    # on a busy machine two images of a study may come seconds apart: what came behind the window would be a revision
    says["peers"]["scanner"]["settle"]["quiet"] = "10s"
    begun = variant(says, "a")
    with Node(begun, tmp_path) as node, ThreadPoolExecutor(3) as threads:
        over = threading.Event()
        edits = Edits(node, says, {load(node.config).digest: "a"})
        senders = Senders(tmp_path / "in", images=3)
        sending = [threads.submit(senders.run, timed(node.port, "SCANNER"), 1.0, over) for _ in range(2)]
        until = time.monotonic() + _FOR_S
        try:
            edits.run(lambda: time.monotonic() > until and edits.rolled_back > 0 and len(senders.studies) >= 10, senders.another)
        finally:
            over.set()
        for one in sending:
            one.result()
        node.config.write_text(json.dumps(begun))
        assert edits.taken >= 4
        assert edits.refused >= 4
        settled = ("routed", "done")
        wait_until(lambda: all(one["state"] in settled for one in node.studies()), _PATIENCE_S, "every study is routed")
        node.wait_for_jobs(lambda jobs: all(job["state"] == "done" for job in jobs), _PATIENCE_S, "every job is done")
        print(f"{len(senders.studies)} studies; {edits.taken} edits taken, {edits.refused} refused, {edits.rolled_back} rolled back")
        found = judged(node, senders.studies, edits.digests, tmp_path / "results")
        assert found.studies >= 10
        assert (found.lost, found.mixed, found.without_results) == (0, 0, 0)
