"""Numbers that no column holds, and text that nobody types, in every place of every page and call: a sentence, never a defect."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.unit.cli.conftest import HEAD, Hospital
from tests.unit.console.conftest import Open
from tests.unit.console.test_roles import LEAST, VALUES

_ODD = st.sampled_from(
    (
        "0",
        "-1",
        "NaN",
        "inf",
        "-inf",
        "1e400",
        "1.5",
        "",
        " ",
        "\0",
        "a\0b",
        "٣",
        "²",
        "%",
        "..",
        "<script>",
        "1_0",
        "+1",
        "0x10",
        "9" * 5000,
    )
)
_NUMBERS = st.integers(min_value=-(2**70), max_value=2**70).map(str)
_EDGES = st.sampled_from((2**31 - 1, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**40)).map(str)
_TEXT = st.one_of(_ODD, _EDGES, _NUMBERS, st.text(max_size=20))
_QUERIES = ("q", "before", "span", "mask", "centre", "width", "series", "study", "since", "digest")
_FIELDS = ("held_for", "instances", "series", "sender", "study", "text", "since", "digest", "name", "password")


@settings(max_examples=12, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def _walk(mine: Any, method: str, path: str, data: st.DataObject) -> None:
    filled = {}
    for name in re.findall(r"\{(\w+)\}", path):
        usual = HEAD if name == "uid" else str(VALUES[name])
        filled[name] = quote(data.draw(st.one_of(st.just(usual), _TEXT)), safe="")
    asked = {name: data.draw(_TEXT) for name in data.draw(st.lists(st.sampled_from(_QUERIES), max_size=3, unique=True))}
    fields = {name: data.draw(_TEXT) for name in data.draw(st.lists(st.sampled_from(_FIELDS), max_size=3, unique=True))}
    body = None if method == "GET" else {"form_token": mine.form_token, **fields}
    answer = mine.client.request(method, path.format(**filled), params=asked or None, data=body)
    assert answer.status_code < 500, (method, path, filled, asked, fields)
    assert answer.status_code < 400 or answer.text, "a refusal has a sentence"


@pytest.mark.parametrize(("method", "path"), [one for one in LEAST if one[1] != "/live"], ids=" ".join)
def test_no_value_is_a_defect(browser: Open, hospital: Hospital, method: str, path: str) -> None:
    """As an admin, who gets past every role; nothing is told as a defect of the console either."""
    assert isinstance(browser().client.app, FastAPI)
    mine = browser("ada")
    with capture_logs() as events:
        _walk(mine, method, path)
    assert [one for one in events if one["event"] == "console.defect"] == []


@pytest.mark.parametrize("number", [2**63, 10**40, -1, 0], ids=str)
def test_a_number_that_no_column_holds_is_refused(browser: Open, number: int) -> None:
    """By every kind of address that has one."""
    client = browser("ada").client
    for path in (f"/api/jobs/{number}", f"/api/studies?before={number}", f"/studies?before={number}", f"/routes/replays/{number}"):
        assert client.get(path).status_code == 422, path
