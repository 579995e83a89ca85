"""What applications say of themselves, asked in a process of its own: an application is code, which may hang or end whoever imports it.

python -m inference.applications.asking < asked
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

LONGEST_S = 30.0
"""How long all of them may take to be imported."""


def stated_numbers(folders: Sequence[Path], names: Collection[str]) -> dict[str, int]:
    """The numbers, in Series Numbers, that the manifests of applications state; 0 for one that states none or cannot be loaded.

    Where one of them hangs or ends its process nothing is known of any: whoever runs it says what is wrong with it.
    """
    asked = json.dumps({"folders": [str(folder) for folder in folders], "names": sorted(names)})
    told = ""
    with contextlib.suppress(subprocess.TimeoutExpired):
        command = [sys.executable, "-P", "-m", __name__]
        told = subprocess.run(command, input=asked, stdout=subprocess.PIPE, text=True, timeout=LONGEST_S, check=False).stdout
    try:
        numbers = json.loads(told)
        return {name: int(numbers[name]) for name in names}
    except (ValueError, KeyError, TypeError):
        return dict.fromkeys(names, 0)


def main() -> None:
    """Answer on standard output; what applications print while they are imported goes to standard error."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked = json.load(sys.stdin)

    from inference.applications.catalog import load
    from inference.applications.errors import BrokenApplication, UnknownApplication
    from inference.errors import ModelError

    numbers = {}
    for name in asked["names"]:
        try:
            numbers[name] = load(name, tuple(map(Path, asked["folders"]))).series
        except (BrokenApplication, UnknownApplication, ModelError):
            numbers[name] = 0
    with answer:
        json.dump(numbers, answer)


if __name__ == "__main__":
    main()
