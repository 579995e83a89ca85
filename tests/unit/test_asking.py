"""Commands that tests run as forks of one process: each says and ends as the same command in an interpreter of its own."""

import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file

from tests.lab.asking import Asker
from tests.lab.node import hilum

_HERE = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("config", "check", "--config", _HERE / "bad_configs" / "unknown_key.yaml"),
        ("jobs", "list", "--nonsense"),
        ("send", "--help"),
        ("doctor", "--config", "nowhere.yaml"),
    ],
    ids=lambda words: words[0],
)
def test_a_fork_says_and_ends_as_a_new_interpreter_does(words: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code, stdout and stderr, of commands that are refused and of one that is not."""
    monkeypatch.chdir(tmp_path)
    asked, ask = list[bool](), Asker.ask

    def seen(self: Asker, *how: Any) -> tuple[int, bytes, bytes] | None:
        answer = ask(self, *how)
        asked.append(answer is not None)
        return answer

    monkeypatch.setattr(Asker, "ask", seen)
    forked, new = hilum(*words), hilum(*words, environment={})
    assert asked == [True], "the first is a fork's answer, the second an interpreter's"
    assert forked == new
    assert forked.out + forked.err


@pytest.mark.slow
def test_a_second_command_does_not_wait_for_the_first() -> None:
    """A peer that never answers keeps a command; another one is told that there is no fork for it, and the next has one again."""
    asker, peers = Asker(), list[socket.socket]()
    try:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.settimeout(200)
            words = ["send", str(get_testdata_file("CT_small.dcm")), "--to", f"ANY@127.0.0.1:{silent.getsockname()[1]}"]
            first = threading.Thread(target=asker.ask, args=(words, 200), daemon=True)
            first.start()
            peers.append(silent.accept()[0])
            assert asker.ask(["config", "check"], 200) is None
            peers.pop().close()
        first.join(200)
        assert not first.is_alive()
        assert asker.ask(["jobs", "--help"], 200) is not None
    finally:
        asker.close()
