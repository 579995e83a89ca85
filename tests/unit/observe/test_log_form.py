"""The log on a terminal and in a pipe: who reads it, in which form, and that no peer writes onto the terminal."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest

_TELLS = """
import sys
from node.observe.events import alarm, event, start_events, write_as
from node.observe.events import LogForm
start_events("receive")
if len(sys.argv) > 1:
    write_as(LogForm(sys.argv[1]))
event("association.accepted", calling_ae="CT1", address="10.0.0.3", peer=None, contexts=2)
alarm("association.rejected", calling_ae="CT\\x1b[2J7", address="10.0.0.9", reason="calling AE title is no peer")
event("job.analysed", took_s={"infer": 4.1}, sink="a b")
"""
_ESCAPE = "\x1b"


def _on_a_terminal(*words: str, **environment: str) -> str:
    """What a process with a terminal for its stderr writes there."""
    ours, theirs = pty.openpty()
    given = {**{name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}, "TERM": "xterm", **environment}
    done = subprocess.run([sys.executable, "-c", _TELLS, *words], stderr=theirs, stdout=subprocess.PIPE, env=given, check=True)
    assert done.stdout == b""
    os.close(theirs)
    read = b""
    while True:
        try:
            more = os.read(ours, 65536)
        except OSError:  # the last of it was read
            break
        if not more:
            break
        read += more
    os.close(ours)
    return read.decode()


def _in_a_pipe(*words: str) -> str:
    return subprocess.run([sys.executable, "-c", _TELLS, *words], capture_output=True, text=True, check=True).stderr


def test_in_a_pipe_every_line_is_json() -> None:
    """For programs: journald, Loki, grep."""
    lines = [json.loads(line) for line in _in_a_pipe().splitlines()]
    assert [one["event"] for one in lines] == ["association.accepted", "association.rejected", "job.analysed"]
    assert lines[1]["calling_ae"] == f"CT{_ESCAPE}[2J7"


def test_on_a_terminal_a_line_is_read_by_people() -> None:
    """Time of day, process, name, facts, and the sentence last; alarms are yellow; nothing that a peer chose reaches the terminal raw."""
    lines = _on_a_terminal().splitlines()
    plain = [re.sub(r"\x1b\[[0-9]+m", "", line) for line in lines]
    assert re.fullmatch(r"\d\d:\d\d:\d\d receive    association\.accepted       calling_ae=CT1 address=10\.0\.0\.3 contexts=2", plain[0])
    assert plain[1].endswith(r"association.rejected       calling_ae=CT\x1b[2J7 address=10.0.0.9 calling AE title is no peer")
    assert plain[2].endswith('job.analysed               took_s={"infer": 4.1} sink="a b"')
    assert "\x1b[33massociation.rejected" in lines[1]
    assert "\x1b[33m" not in lines[0]
    assert f"{_ESCAPE}[2J" not in "".join(lines)


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_are_left_out_where_nobody_wants_them(environment: dict[str, str]) -> None:
    """no-color.org, and a terminal that has none."""
    assert _ESCAPE not in _on_a_terminal(**environment)


def test_the_configuration_forces_either_form() -> None:
    """`node: {log: …}`; in a pipe without colours."""
    assert len([json.loads(line) for line in _on_a_terminal("json").splitlines()]) == 3
    people = _in_a_pipe("people")
    assert _ESCAPE not in people
    assert "association.accepted" in people
    assert not people.startswith("{")
