"""Passcodes are read where the configuration says; one that cannot be had names the key that says so, with its line, and what to do."""

import os
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from node.assembly.configuration import load
from node.settings.config import Config
from node.settings.secrets import NotPrivate, PasscodeUnusable, passcode_of

TEXT = """\
    peers:
      ct1:
        ae_title: CT1
        address: "10.0.0.21:104"
        user: {name: ct1, passcode_file: secrets/ct1}
        login:
          name: hilum
          passcode_variable: HILUM_TEST_PASSCODE
    notify:
      webhook: {url: "https://chat.example/x", secret_file: secrets/chat}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "hilum.yaml"
    path.write_text(textwrap.dedent(TEXT), encoding="utf-8")
    return load(path, applications=())


def test_an_absent_file_names_its_key_line_and_what_to_do(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The place is the file's, counted by hand in TEXT: line, column, whose it is, and the key."""
    monkeypatch.delenv("HILUM_TEST_PASSCODE", raising=False)
    peer, webhook = config.peers["ct1"], config.notify.webhook
    assert peer.user is not None
    assert peer.login is not None
    assert webhook is not None
    assert webhook.secret is not None
    for user, place, what in (
        (peer.user, '5:38: peer "ct1": user: passcode_file: ', f"{tmp_path}/secrets/ct1 is not there; write the passcode"),
        (peer.login, '8:26: peer "ct1": login: passcode_variable: ', "the environment variable HILUM_TEST_PASSCODE is not set"),
        (webhook.secret, "10:57: notify: webhook: secret_file: ", f"{tmp_path}/secrets/chat is not there; write the passcode"),
    ):
        with pytest.raises(PasscodeUnusable) as refused:
            passcode_of(user)
        assert str(refused.value).startswith(f"{tmp_path}/hilum.yaml:{place}{what}")


def test_a_file_that_is_there_and_unfit_names_its_line_as_well(config: Config, tmp_path: Path) -> None:
    """Empty, or open to others."""
    user = config.peers["ct1"].user
    assert user is not None
    file = tmp_path / "secrets" / "ct1"
    file.parent.mkdir()
    file.write_bytes(b"\n")
    file.chmod(0o600)
    with pytest.raises(PasscodeUnusable, match=r"hilum\.yaml:5:38: .*secrets/ct1 is empty"):
        passcode_of(user)
    file.chmod(0o644)
    with pytest.raises(NotPrivate, match=r"hilum\.yaml:5:38: .*may be read by others"):
        passcode_of(user)
    os.truncate(file, 0)
    file.write_bytes(b"geheim\n")
    file.chmod(0o600)
    assert passcode_of(user) == b"geheim"


def test_a_key_that_moved_in_the_file_is_no_other_user(config: Config) -> None:
    """A comment above it asks for no restart."""
    user = config.peers["ct1"].user
    assert user is not None
    assert replace(user, place="hilum.yaml:6:38: ") == user
