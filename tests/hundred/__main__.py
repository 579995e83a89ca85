"""`python -m tests.hundred --studies 100`: the trial and its table. Exit 1 when a study ended otherwise than is right for it."""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from bench.rows import Row, say, show
from tests.hundred.ends import End
from tests.hundred.trial import Trial
from tests.lab.loopback import loopback_only


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.hundred")
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="where everything lies; kept. A temporary folder without it")
    chosen = parser.parse_args()
    with loopback_only(), tempfile.TemporaryDirectory(prefix="hilum-hundred-", ignore_cleanup_errors=True) as made:
        folder = chosen.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        say(f"{chosen.studies} studies in {folder}")
        trial = Trial(folder, studies=chosen.studies)
        ended = trial.run()
    counts = Counter(next(iter(one.ends)) for one in ended if len(one.ends) == 1)
    silent, several = sum(not one.ends for one in ended), sum(len(one.ends) > 1 for one in ended)
    wrong = [one for one in ended if not one.right]
    rows = [Row(name=end.value, value=counts[end], unit="studies") for end in End]
    rows += [
        Row(name="silent", value=silent, unit="studies", goal="0", met=silent == 0),
        Row(name="several ends at once", value=several, unit="studies", goal="0", met=several == 0),
        Row(name="otherwise than is right", value=len(wrong), unit="studies", goal="0", met=not wrong),
        Row(name="in the archive, and put there by nobody", value=len(trial.strays), unit="studies", goal="0", met=not trial.strays),
    ]
    show(rows)
    for one in wrong:
        meant = " or ".join(sorted(one.case.ends))
        say(f"{one.number} {one.case.name}: {sorted(one.ends) or 'silent'}, meant {meant}; {'; '.join(one.wrongs)} [{one.said}]")
    return 1 if wrong or trial.strays else 0


if __name__ == "__main__":
    sys.exit(main())
