"""What applications say of themselves, asked in a process of its own: an application is code, which may hang or end whoever imports it.

python -m inference.applications.asking < asked
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from inference.applications.catalog import built_in

LONGEST_S = 30.0
"""How long all of them may take to be imported."""

_KNOWN: dict[str, int] = {}
"""Numbers of hilum's own applications that were said: they are asked for at every look at an edited route."""


def stated_numbers(folders: Sequence[Path], names: Collection[str]) -> dict[str, int]:
    """The numbers, in Series Numbers, that the manifests of applications state; 0 for one that states none or cannot be loaded.

    Where one of them hangs or ends its process nothing is known of any: whoever runs it says what is wrong with it. What hilum's own
    applications state is asked once.
    """
    own = built_in(names, folders)
    known = {name: _KNOWN[name] for name in own & set(_KNOWN)}
    if not (asked := sorted(set(names) - set(known))):
        return known
    numbers = _answered({"folders": [str(folder) for folder in folders], "names": asked})
    try:
        said = {name: int(numbers[name]) for name in asked}
    except (ValueError, KeyError, TypeError):
        return dict.fromkeys(names, 0)
    # 0 may be said of one that could not be loaded today
    _KNOWN.update({name: said[name] for name in own & set(said) if said[name]})
    return known | said


def unfit_parts(folders: Sequence[Path], parts: Mapping[str, str]) -> list[str]:
    """Why applications cannot take the parts of a series that are asked for by their names; nothing of one that cannot be loaded."""
    asked = {"folders": [str(folder) for folder in folders], "names": sorted(parts), "parts": dict(parts)}
    return [str(reason) for reason in answers.values() if reason] if isinstance(answers := _answered(asked), dict) else []


def _answered(asked: Mapping[str, Any]) -> Any:
    """What the other process says; None where it ended, or said nothing that can be read."""
    with contextlib.suppress(subprocess.TimeoutExpired, ValueError):
        command = [sys.executable, "-P", "-m", __name__]
        done = subprocess.run(command, input=json.dumps(asked), stdout=subprocess.PIPE, text=True, timeout=LONGEST_S, check=False)
        return json.loads(done.stdout)
    return None


def main() -> None:
    """Answer on standard output; what applications print while they are imported goes to standard error."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked = json.load(sys.stdin)

    from inference.applications.catalog import load
    from inference.applications.errors import BrokenApplication, UnknownApplication
    from inference.applications.manifest import of_parts
    from inference.errors import ModelError

    answers: dict[str, int | str] = {}
    for name in asked["names"]:
        answers[name] = 0
        try:
            application = load(name, tuple(map(Path, asked["folders"])))
        except (BrokenApplication, UnknownApplication, ModelError):
            continue
        if "parts" not in asked:
            answers[name] = application.series
            continue
        try:
            of_parts(application, asked["parts"][name])
        except BrokenApplication as unfit:
            answers[name] = str(unfit)
    with answer:
        json.dump(answers, answer)


if __name__ == "__main__":
    main()
