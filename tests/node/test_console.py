"""The console as `hilum serve` starts it: its own process, asked over HTTP and HTTPS as a browser asks it."""

import re
import ssl
from pathlib import Path

import httpx
import numpy as np
import pytest

from inference.imaging.write_series import write_series
from node.console.accounts import FAILURES
from node.domain.account import Role
from tests.lab.certificates import Authority
from tests.lab.console import PASSWORD, console_port, console_process, let_in
from tests.lab.node import QUIET, Node, configuration, hilum
from tests.lab.program import wait_until

pytestmark = [pytest.mark.slow]

_APPLICATIONS = Path(__file__).parents[2] / "bench" / "applications"
_PATIENCE_S = 120


def _settings(folder: Path, **console: object) -> dict[str, object]:
    settings = configuration(
        folder,
        port=0,
        repository=folder / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(folder / "results")}},
        routes=[{"name": "all CT", "when": {"Modality": "CT"}, "run": ["bench-threshold"], "send": ["results"]}],
        console={"listen": "127.0.0.1:0", **console},
    )
    settings["models"] = {"repository": str(folder / "models"), "applications": [str(_APPLICATIONS)]}
    return settings


def _client(base: str, **more: object) -> httpx.Client:
    return httpx.Client(base_url=base, timeout=_PATIENCE_S, trust_env=False, **more)  # type: ignore[arg-type]


def _log_in(client: httpx.Client, password: str = PASSWORD, **headers: str) -> httpx.Response:
    return client.post("/login", data={"name": "otto", "password": password}, headers=headers)


def test_a_study_that_was_sent_is_seen_over_tls(tmp_path: Path) -> None:
    """From C-STORE to the page: with the patient's name and the job's result for an operator who logged in; the certificate is checked, a
    cookie goes over TLS only, plain HTTP is no way in, and a console that was killed is started again with the session still good."""
    authority = Authority(tmp_path / "ca")
    identity = authority.signs("console")
    settings = _settings(tmp_path, tls={"cert": str(identity.certificate), "key": str(identity.key)})
    voxels = np.full((6, 32, 32), -1000, np.int16)
    voxels[2:4, 8:16, 8:24] = 60
    affine = np.array([[0.0, 0, 1, -16], [0, 1, 0, -16], [2, 0, 0, 0], [0, 0, 0, 1]])
    write_series(voxels, affine, tmp_path / "in", modality="CT", patient_id="CONSOLE-1")
    with Node(settings, tmp_path) as node:
        let_in(node, "otto", Role.OPERATOR)
        said = hilum("send", tmp_path / "in", "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER", "--json")
        assert said.code == 0, said.out + said.err
        port = console_port(node)
        trusting = ssl.create_default_context(cafile=str(authority.certificate))
        with _client(f"https://127.0.0.1:{port}", verify=trusting) as client:
            assert client.get("/studies").headers["location"] == "/login"
            assert _log_in(client, "wrong password").status_code == 403
            inside = _log_in(client)
            assert inside.status_code == 303
            cookie = inside.headers["set-cookie"].lower()
            assert all(word in cookie for word in ("; secure", "; httponly", "; samesite=lax"))
            assert inside.headers["strict-transport-security"].startswith("max-age=")
            done = '"state":"done"'
            wait_until(lambda: done in client.get("/api/studies").text.replace(" ", ""), _PATIENCE_S, "the study is done")
            page = client.get("/studies").text
            assert "CONSOLE-1" in page
            assert "bench-threshold" in page
            uid = re.search(r'href="/studies/([0-9.]+)"', page)
            assert uid is not None
            passport = client.get(f"/studies/{uid[1]}").text
            assert "Threshold (benchmark) SEG" in passport
            assert ">0.512<" in re.sub(r"\s+", "", passport)
            with _client(f"https://127.0.0.1:{port}") as stranger, pytest.raises(httpx.ConnectError, match="certificate"):
                stranger.get("/login")
            with _client(f"http://127.0.0.1:{port}") as plain, pytest.raises(httpx.HTTPError):
                plain.get("/login")
            before = console_process(node)
            assert before is not None
            before.kill()
            wait_until(lambda: (now := console_process(node)) is not None and now.pid != before.pid, _PATIENCE_S, "the console is back")
            with _client(f"https://127.0.0.1:{console_port(node)}", verify=trusting, cookies=client.cookies) as again:
                assert again.get("/studies").status_code == 200


@pytest.mark.parametrize("believed", [True, False])
def test_whom_a_proxy_speaks_for(tmp_path: Path, believed: bool) -> None:
    """Behind a proxy that the configuration names, who guesses passwords waits at his own address and nobody else does, and cookies are for
    TLS; what anybody else says in X-Forwarded-For is not believed: a guesser stays one address, whatever he claims."""
    settings = _settings(tmp_path, **({"trusted_proxies": ["127.0.0.1"]} if believed else {"trusted_proxies": ["192.0.2.1"]}))
    with Node(settings, tmp_path, stages="console") as node:
        let_in(node, "otto", Role.OPERATOR)
        with _client(f"http://127.0.0.1:{console_port(node)}") as client:
            for number in range(FAILURES):
                claimed = "198.51.100.7" if believed else f"198.51.100.{number}"
                answer = _log_in(client, "wrong password", **{"X-Forwarded-For": claimed, "X-Forwarded-Proto": "https"})
                assert answer.status_code == 403
            assert _log_in(client, **{"X-Forwarded-For": "198.51.100.7"}).status_code == 429
            other = _log_in(client, **{"X-Forwarded-For": "203.0.113.9"})
            assert other.status_code == (303 if believed else 429)
            if believed:
                assert "; secure" in other.headers["set-cookie"].lower()
        refused = [one for one in node.events() if one["event"] == "console.login_refused"]
        claims = {one["address"] for one in refused}
        assert claims == ({"198.51.100.7"} if believed else {"127.0.0.1"})
