"""A node that tells a person: a job is parked, a webhook and a mailbox hear of it, also when the node was killed before it could say so."""

import json
from pathlib import Path

import pytest

from node.records.remedies import remedy
from tests.lab.certificates import Authority
from tests.lab.messages import mail_server, webhook_server
from tests.lab.node import Node
from tests.lab.program import wait_until
from tests.node.test_whole_way import _block, _send, _settings

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("node")]
_PATIENCE_S = 90


def test_a_parked_job_reaches_mailbox_and_webhook(tmp_path: Path) -> None:
    """With the code, the remedy and a link, and not with the patient. A trial goes first; while nobody answers the message waits, and a
    node that is killed meanwhile sends it after its next start."""
    authority = Authority(tmp_path / "ca")
    secret = tmp_path / "passcode"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    settings = _settings(tmp_path)
    # no lungs in it
    settings["routes"] = [{"name": "all", "when": {"Modality": "CT"}, "run": ["ct-lung"], "send": ["results"]}]
    with mail_server(authority.signs("mx", alternative="IP:127.0.0.1"), "hilum", "s3cret") as box, webhook_server() as posts:
        settings["notify"] = {
            "mail": {
                "server": f"127.0.0.1:{box.port}",
                "from": "hilum@hospital.example",
                "to": ["ops@hospital.example"],
                "authorities": str(authority.certificate),
                "login": {"name": "hilum", "passcode_file": str(secret)},
            },
            "webhook": {"url": f"http://127.0.0.1:{posts.port}/in"},
            "link": "https://hilum.hospital",
        }
        posts.status = 503
        with Node(settings, tmp_path) as node:
            tried = node.hilum("notify", "--json")
            assert tried.code == 1
            assert json.loads(tried.out)["mail"] == {"sent": True, "code": None, "reason": None}
            assert json.loads(tried.out)["webhook"]["code"] == "HLM-6190"
            _send(node, _block(tmp_path / "in", slices=24, patient="TOLD"))
            wait_until(lambda: any(job["state"] == "parked" for job in node.jobs()), _PATIENCE_S, "the job is parked")
            (parked,) = node.jobs()
            wait_until(lambda: len(box.came) >= 2, _PATIENCE_S, "the mail is there")
            wait_until(lambda: posts.asked >= 2, _PATIENCE_S, "the webhook was tried")
            node.kill()
            posts.status = 200
            node.start()
            wait_until(lambda: posts.content, _PATIENCE_S, "the webhook hears of it")
        text = box.came[1].get_content()
    assert parked["code"] in text
    assert remedy(parked["code"]) in text
    assert "https://hilum.hospital/parked" in text
    (post,) = posts.content
    assert [(item["job"], item["code"]) for item in post["items"]] == [(parked["id"], parked["code"])]
    assert "TOLD" not in text + json.dumps(post)
    # killed before it knew that the mail was taken, it sends that again
    assert all(parked["code"] in one.get_content() for one in box.came[1:])
