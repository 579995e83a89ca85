"""`hilum health`, asked of what may be there: a node that is ready, one that is not, something else, nothing."""

import json
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import TypeAlias

import pytest

from node.cli.main import main
from node.observe.endpoint import Endpoint, EndpointPage, as_json
from tests.lab.loopback import free_port

_READY = {"ready": True, "degraded": ["engine gpu"], "parts": {"receive": {"ready": True}, "engine gpu": {"ready": False, "why": "away"}}}
_FULL = {"ready": False, "degraded": [], "parts": {"disk": {"ready": False, "why": "12 bytes are free"}}}


Asked: TypeAlias = Callable[[EndpointPage], list[str]]


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    """The words that ask a node which answers with a page."""
    opened: list[Endpoint] = []

    def answers(page: EndpointPage) -> list[str]:
        opened.append(Endpoint("127.0.0.1", 0, {"/health/ready": lambda: page}))
        return ["health", "--config", str(_config(tmp_path, opened[-1].port))]

    yield answers
    for one in opened:
        one.close()


def _config(folder: Path, port: int | None) -> Path:
    path = folder / "hilum.yaml"
    metrics = "" if port is None else f', metrics: "0.0.0.0:{port}"'
    path.write_text(f'node: {{listen: "127.0.0.1:0"{metrics}}}\n')
    return path


def test_a_ready_node_is_0_and_what_is_degraded_is_said(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    """Also when it listens everywhere: it is asked over loopback."""
    words = asked(as_json(HTTPStatus.OK, _READY))
    assert main(words) == 0
    assert capsys.readouterr().out == "ready\n  engine gpu: away\n"
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == _READY


def test_a_node_that_is_not_ready_is_1_with_the_reason(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    """503 is an answer too."""
    assert main(asked(as_json(HTTPStatus.SERVICE_UNAVAILABLE, _FULL))) == 1
    assert capsys.readouterr().out == "not ready\n  disk: 12 bytes are free\n"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"ready": "yes"}', b"\xff"])
def test_something_else_at_the_address_is_no_node(asked: Asked, capsys: pytest.CaptureFixture[str], body: bytes) -> None:
    """Another program took the port: never 0."""
    assert main(asked(EndpointPage(status=HTTPStatus.OK, content_type="text/html", body=body))) == 1
    assert capsys.readouterr().out.startswith("not ready: ")


def test_nobody_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The node does not run: the address is named."""
    port = free_port()
    assert main(["health", "--config", str(_config(tmp_path, port))]) == 1
    assert f"no answer at 127.0.0.1:{port}" in capsys.readouterr().out


def test_a_node_without_an_address_for_it_cannot_be_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message says which key is missing."""
    assert main(["health", "--config", str(_config(tmp_path, None))]) == 1
    assert "HLM-2063" in capsys.readouterr().err
