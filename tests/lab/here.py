"""`hilum` in the process of the tests: for commands that bring a model's libraries, which that process has imported already.

To import them anew takes longer than most of these commands.
"""

import io
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from node.cli.main import main
from tests.lab.node import CommandResult


def hilum_here(*arguments: object, folder: Path | None = None) -> CommandResult:
    """Run one `hilum` command to its end, in this folder where one is given; lines are as long as on a wide screen."""
    said, apart = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patched, chdir(folder or Path.cwd()), redirect_stdout(said), redirect_stderr(apart):
        patched.setenv("COLUMNS", "200")
        code = main([str(argument) for argument in arguments])
    return CommandResult(code=code, out=said.getvalue(), err=apart.getvalue())
