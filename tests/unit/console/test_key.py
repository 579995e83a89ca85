"""The private key of the console's TLS."""

import threading
from pathlib import Path

import pytest

from node.assembly.console import trials_of
from node.console.server import serve
from node.settings.console import Console
from node.settings.secrets import NotPrivate
from tests.lab.certificates import Authority
from tests.unit.cli.conftest import Hospital
from tests.unit.console.conftest import context_of


def test_a_key_that_others_may_read_is_refused_before_anything_listens(hospital: Hospital, tmp_path: Path) -> None:
    """As the listener's own is: mode 0644, whoever made it so. The message names the file and the mode."""
    identity = Authority(tmp_path / "ca").signs("console")
    identity.key.chmod(0o644)
    trials = trials_of(hospital.config)
    context = context_of(hospital, trials, settings=Console(host="127.0.0.1", port=0, cert=identity.certificate, key=identity.key))
    with pytest.raises(NotPrivate, match=r"mode 0644\) may be read by others"):
        serve(context, threading.Event(), ready=lambda **_: pytest.fail("it listens"))
    trials.close()
