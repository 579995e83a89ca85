"""Commands that tests run as forks of one process: each says and ends as the same command in an interpreter of its own."""

import json
import socket
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file

from tests.lab.asking import Asker, written
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


def test_what_is_written_to_a_journal_is_news(tmp_path: Path) -> None:
    """Every commit is, while the journal is open; to look is none. Of a configuration that names no such journal nothing is known."""
    config, journal = tmp_path / "hilum.yaml", tmp_path / "hilum.db"
    config.write_text(json.dumps({"store": {"journal": f"sqlite:{journal}"}}))
    words = ["jobs", "list", "--config", str(config)]
    assert written(words) == ()
    with closing(sqlite3.connect(journal, isolation_level=None)) as opened:
        opened.execute("PRAGMA journal_mode = WAL")
        opened.execute("CREATE TABLE job (state TEXT)")
        before = written(words)
        assert before
        opened.execute("SELECT * FROM job").fetchall()
        assert written(words) == before
        opened.execute("INSERT INTO job VALUES ('done')")
        assert written(words) != before
    for text in ("store: {journal: hilum.db}", "{}", json.dumps({"store": {"journal": "postgresql://db/hilum"}})):
        config.write_text(text)
        assert written(words) == ()
    assert written(["jobs", "list"]) == ()
