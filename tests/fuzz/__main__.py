"""`python -m tests.fuzz [SECONDS]`: every target for its share of the processor time, on all processors; a table, and bench/fuzz.json.

What libFuzzer finds worth keeping lies in var/fuzz/TARGET, and is where the next run goes on. `--keep` copies the smallest of it into
tests/fuzz/corpus, where the tests replay it. A crash lies in tests/fuzz/corpus/TARGET as crash-…, a test that is red.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.rows import Row, show, write
from tests.fuzz.bounds import GOALS, GROUPS, HANG_S, MEMORY_MIB, MODULES, MOST_BYTES, SHORTER

ROOT: Final = Path(__file__).parents[2]
CORPUS: Final = Path(__file__).with_name("corpus")
FOUND: Final = ROOT / "var" / "fuzz"
_SHARES: Final = {"pdus": 3.0, "commands": 3.0, "headers": 4.0, "metas": 0.5}
"""Of the time: the goals count executions of these, and the others are slow ones that each say much."""
_STUCK_S: Final = 300
"""Wall-clock seconds after which libFuzzer calls an input a hang, so long because a machine may stand still; CPU seconds are bounded far
lower, by the target itself."""
_KEPT_BYTES: Final = 512
_MOST_KEPT: Final = 100
_LEFT_OVER_S: Final = 2.0 * _STUCK_S
_ROUNDS: Final = 20
"""libFuzzer ends by the clock: on a machine that does other things it is started again until it has had its processor time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One target's run: how many executions, branches that they reached, the slowest input's CPU time, and what was found wrong."""

    target: str
    executions: int
    branches: int
    slowest_ms: float
    peak_mib: int
    inputs: int
    crashes: int


def run(target: str, seconds: float) -> Ran:
    """Fuzz one target for so many seconds of processor time."""
    found, kept = FOUND / target, CORPUS / target
    for folder in (found, kept):
        folder.mkdir(parents=True, exist_ok=True)
    measured = FOUND / f"{target}.measured"
    measured.mkdir(exist_ok=True)
    for stale in measured.iterdir():
        stale.unlink()
    crashes = executions = branches = peak_mib = 0
    slowest_us = 0
    left_s = seconds
    for _ in range(_ROUNDS):
        if left_s < 1 or crashes:
            break
        before = _crashes(kept)
        said, used_s = _once(target, left_s, measured, found, kept)
        left_s -= used_s
        crashes = len(_crashes(kept) - before)
        did = _last(r"stat::number_of_executed_units:\s+(\d+)", said) or _last(r"^#(\d+)", said)
        if not did or (not crashes and "Done " not in said):
            print(said[-3000:])
            crashes = max(crashes, 1)
        executions += did
        branches = max(branches, _last(r"cov: (\d+)", said))
        peak_mib = max(peak_mib, _last(r"stat::peak_rss_mb:\s+(\d+)", said) or _last(r"rss: (\d+)Mb", said))
        slowest = measured / "slowest_us"
        slowest_us = max(slowest_us, int(slowest.read_text()) if slowest.exists() else 0)
    return Ran(
        target=target,
        executions=executions,
        branches=branches,
        slowest_ms=slowest_us / 1000,
        peak_mib=peak_mib,
        inputs=len(list(found.iterdir())),
        crashes=crashes,
    )


def _once(target: str, seconds: float, measured: Path, found: Path, kept: Path) -> tuple[str, float]:
    return _fuzzer(
        target,
        measured,
        f"-max_total_time={max(1, round(seconds))}",
        f"-max_len={SHORTER.get(target, MOST_BYTES)}",
        f"-timeout={_STUCK_S}",
        f"-report_slow_units={_STUCK_S}",
        f"-rss_limit_mb={MEMORY_MIB}",
        "-print_final_stats=1",
        "-verbosity=1",
        f"-artifact_prefix={kept}/",
        str(found),
        str(kept),
        timeout_s=seconds + _LEFT_OVER_S,
    )


def keep(target: str) -> int:
    """Copy the smallest of what reached something new into the corpus; how many inputs it has then."""
    kept = CORPUS / target
    found = sorted(
        (path for path in (FOUND / target).iterdir() if path.stat().st_size <= _KEPT_BYTES), key=lambda path: path.stat().st_size
    )
    for path in found[: max(0, _MOST_KEPT - len(list(kept.iterdir())))]:
        shutil.copyfile(path, kept / f"reached-{path.name[:12]}")
    return len(list(kept.iterdir()))


def _fuzzer(target: str, measured: Path, *options: str, timeout_s: float) -> tuple[str, float]:
    """What it said, and the processor seconds that it used."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz.guided", target, str(measured), *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace", text=True) as process:
        late = threading.Timer(timeout_s, process.kill)
        late.start()
        try:
            assert process.stdout is not None
            said = process.stdout.read()
            _, status, used = os.wait4(process.pid, 0)
        finally:
            late.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    return said, used.ru_utime + used.ru_stime


def _crashes(folder: Path) -> set[str]:
    """libFuzzer's names for inputs that crashed, hung or took too much memory."""
    return {path.name for path in folder.iterdir() if path.name.startswith(("crash-", "timeout-", "oom-", "leak-", "slow-unit-"))}


def _last(pattern: str, said: str) -> int:
    found = re.findall(pattern, said, re.MULTILINE)
    return int(found[-1]) if found else 0


def rows(ran: Sequence[Ran]) -> list[Row]:
    """What the goals ask for, then each target's figures."""
    made = []
    for group, targets in GROUPS.items():
        total = sum(one.executions for one in ran if one.target in targets)
        goal = GOALS.get(group)
        made.append(
            Row(
                name=f"fuzz, {group}: executions",
                value=total,
                unit="",
                goal=f"at least {goal:,}" if goal else "",
                met=total >= goal if goal else None,
            )
        )
    crashes = sum(one.crashes for one in ran)
    made.append(Row(name="fuzz: unhandled, hanging or too large", value=crashes, unit="inputs", goal="none", met=crashes == 0))
    slowest, peak = max(one.slowest_ms for one in ran), max(one.peak_mib for one in ran)
    made.append(
        Row(name="fuzz: slowest input, CPU", value=slowest, unit="ms", goal=f"below {HANG_S * 1000:g}", met=slowest < HANG_S * 1000)
    )
    made.append(Row(name="fuzz: peak memory of a process", value=peak, unit="MiB", goal=f"below {MEMORY_MIB}", met=peak < MEMORY_MIB))
    for one in ran:
        made += [
            Row(name=f"fuzz, {one.target}: executions", value=one.executions, unit=""),
            Row(name=f"fuzz, {one.target}: branches reached", value=one.branches, unit=""),
            Row(name=f"fuzz, {one.target}: slowest input, CPU", value=one.slowest_ms, unit="ms"),
        ]
    return made


def main() -> int:
    """Run, print, keep the figures; 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("seconds", nargs="?", type=float, default=60.0, help="of processor time, for all targets together")
    parser.add_argument("--only", action="append", choices=list(MODULES), help="this target; more than once for several")
    parser.add_argument("--keep", action="store_true", help="bring what was found into tests/fuzz/corpus")
    given = parser.parse_args()
    # the longest first, so that the processors end together
    targets = sorted(given.only or MODULES, key=lambda one: -_SHARES.get(one, 1.0))
    share = given.seconds / sum(_SHARES.get(one, 1.0) for one in targets)
    ran = []
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as processors:
        for done in as_completed([processors.submit(run, target, share * _SHARES.get(target, 1.0)) for target in targets]):
            one = done.result()
            ran.append(one)
            print(
                f"   … {one.target}: {one.executions:,} executions, {one.branches} branches, slowest {one.slowest_ms:.1f} ms, "
                f"{one.peak_mib} MiB, {one.inputs} inputs, {one.crashes} crashes",
                flush=True,
            )
            if given.keep:
                print(f"   … {one.target}: {keep(one.target)} inputs in the corpus", flush=True)
    ran.sort(key=lambda one: list(MODULES).index(one.target))
    figures = rows(ran)
    show(figures)
    if not given.only:  # some figures are no set of results
        write(figures, ROOT / "bench" / "fuzz.json")
    return 1 if any(one.crashes for one in ran) else 0


if __name__ == "__main__":
    sys.exit(main())
