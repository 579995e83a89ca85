"""What a command that is run in this process leaves behind is gone before the fixtures of the next module begin."""

import os

import pytest


def umask() -> int:
    """Reading it is setting it."""
    said = os.umask(0o022)
    os.umask(said)
    return said


@pytest.fixture(scope="class")
def command() -> None:
    """A command, as far as the umask shows; run before what is done for each test."""
    os.umask(0o077)


@pytest.fixture(scope="class")
def found() -> int:
    """With which umask a fixture begins."""
    return umask()


@pytest.mark.usefixtures("command")
class TestFirst:
    """Its fixture runs a command."""

    def test_begins_without(self) -> None:
        assert umask() == 0o022


class TestNext:
    """Its fixture makes files, say."""

    def test_its_fixtures_begin_without(self, found: int) -> None:
        assert found != 0o077
