"""A node that tells a person: a job is parked, a webhook and a mailbox hear of it, also when the node was killed before it could say so."""

import hmac
import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from node.records.remedies import remedy
from tests.lab.certificates import Authority
from tests.lab.howto import HowTo
from tests.lab.messages import mail_server, webhook_server
from tests.lab.node import Node
from tests.lab.program import wait_until
from tests.node.test_whole_way import _block, _send, _settings

pytestmark = [pytest.mark.slow]
_PATIENCE_S = 90
PAGE = HowTo("be-told.md")


def _form(printed: str) -> str:
    """A pattern of what the page prints: another host, at another time."""
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", r"\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d", printed.replace("node1", r"\S+"))


def test_a_parked_job_reaches_mailbox_and_webhook(tmp_path: Path) -> None:
    """By the settings of docs/howto/be-told.md, in the form of its message: with the code, the remedy and a link, signed, and not with the
    patient. A trial goes first; while nobody answers the message waits, and a node that is killed meanwhile sends it after its next
    start."""
    authority = Authority(tmp_path / "ca")
    (tmp_path / "secrets").mkdir()
    for name in ("smtp", "webhook"):
        (tmp_path / "secrets" / name).write_text("s3cret\n")
        (tmp_path / "secrets" / name).chmod(0o600)
    settings = _settings(tmp_path)
    # no lungs in it
    settings["routes"] = [{"name": "all", "when": {"Modality": "CT"}, "run": ["ct-lung"], "send": ["results"]}]
    with mail_server(authority.signs("mx", alternative="IP:127.0.0.1"), "hilum", "s3cret") as box, webhook_server() as posts:
        (block,) = PAGE.blocks("yaml")
        told = YAML(typ="safe").load(block.replace("secrets/", f"{tmp_path}/secrets/"))["notify"]
        told["mail"] |= {"server": f"127.0.0.1:{box.port}", "authorities": str(authority.certificate)}
        told["webhook"] |= {"url": f"http://127.0.0.1:{posts.port}/in"}
        settings["notify"] = told
        posts.status = 503
        with Node(settings, tmp_path) as node:
            check, notify = (PAGE.typed(command).split()[1:] for command in PAGE.commands())
            assert node.hilum(*check).code == 0
            tried = node.hilum(*notify, "--json")
            PAGE.followed()
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
        text, subject = box.came[1].get_content(), str(box.came[1]["Subject"])
    form, node_and_time, *_, parked_line = [line for line in PAGE.printed("") if line != "  …"]
    assert re.fullmatch(_form(form).replace("2 parked, 1 sink late", "1 parked"), f"Subject: {subject}"), subject
    assert re.match(_form(node_and_time), text), text
    assert parked_line.replace("812", str(parked["id"])).replace("HLM-3010", parked["code"]) in text
    assert remedy(parked["code"]) in text
    assert "https://hilum.hospital/parked" in text
    (post,) = posts.content
    ((headers, body),) = posts.came
    assert headers["X-Hilum-Signature"] == "sha256=" + hmac.new(b"s3cret", body, "sha256").hexdigest()
    assert [(item["job"], item["code"]) for item in post["items"]] == [(parked["id"], parked["code"])]
    assert "TOLD" not in text + json.dumps(post)
    # killed before it knew that the mail was taken, it sends that again
    assert all(parked["code"] in one.get_content() for one in box.came[1:])
