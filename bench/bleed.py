"""The bench of ct-head-bleed: a real plain head as it is, and forty bleeds that are planted into it, beside a threshold with morphology.

Each bleed is looked for on the blocks of the networks' raster that hold it. That this is what the whole head gives is looked at on a head
with three of them.
One head tests the chain, not sensitivity.
"""

import math
import os
import resource
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.bleed_made import Bleed, Mask, bleeds
from bench.rows import Row, say
from inference import codes
from inference.applications.ct_head_bleed import APPLICATION
from inference.applications.ct_head_bleed.agreement import LEAST_CM3, verdict
from inference.applications.ct_head_bleed.reading import BEYOND_MM, HAEMORRHAGES, HeadLesion, Reading, at_one_mm, inside_of_skull, labels_of
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.port import Call, ModelRef, Tensors
from inference.engines.weights_import import import_models
from inference.imaging.assemble import assemble
from inference.imaging.regrid import straightened
from inference.imaging.resample import Grid

_DATA = Path(os.environ.get("HILUM_DATA", Path(__file__).resolve().parents[1] / "../shared/data"))
_HEAD, _WEIGHTS = "dicom/ct_head_GE_gantrytilt.zip", "weights/blast_ct"

COUNT, FAINT, SEED = 40, 12, 2020
WHOLE = 3
"""Bleeds in the one head that is looked through whole."""
FROM_CM3 = 2.0
FOUND, VOLUME, PLAIN_CM3, CPU_S = 0.95, 0.20, 0.5, 240.0
DEEP_MM = 6
"""How far from the bone the threshold looks: nearer, bone and brain share voxels that are as dense as blood."""
BLOOD_HU = (50.0, 95.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Head:
    """A head at 1 mm.

    Attributes
    ----------
    inside
        Where the networks look.
    brain
        Where the threshold looks and the middle of a bleed may lie: `DEEP_MM` from the bone.
    """

    hu: NDArray[Any]
    grid: Grid
    inside: Mask
    brain: Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One bleed and what was said of it; volumes in cm3."""

    planted_cm3: float
    level_hu: float
    found: bool
    marked_cm3: float
    by_threshold: bool
    threshold_cm3: float

    @property
    def dense(self) -> bool:
        """Whether it is one of those that have to be found."""
        return self.level_hu >= 60 and self.planted_cm3 >= FROM_CM3


class Networks:
    """The published networks, one call at a time, as an application is given them."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self._engine = engine

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        return self._engine.infer(model, tensors)

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> Call | None:
        return None


def measure() -> list[Row]:
    """The plain head, the bleeds, and three of them on the whole head."""
    if not (_DATA / _HEAD).is_file() or not (_DATA / _WEIGHTS).is_dir():
        say("the real head or the networks are not here (HILUM_DATA): nothing is looked for")
        return []
    head = real_head(_DATA / _HEAD)
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder)
        import_models(APPLICATION, repository, files=sorted((_DATA / _WEIGHTS).glob("*.pt")))
        rows = _plain(head, repository)
        with networks(repository) as infer:
            looked: list[Looked] = []
            for number, bleed in enumerate(bleeds(head.hu, head.brain, COUNT, faint=FAINT, seed=SEED), 1):
                looked.append(look(head, bleed, infer))
                say(f"{number}: {_told(looked[-1])}")
            rows += _of_bleeds(looked)
            rows.append(_whole(head, infer))
    return rows


@contextmanager
def networks(repository: Path) -> Iterator[Networks]:
    """The networks of a repository, on one thread."""
    engine = EmbeddedEngine(repository, threads=1)
    try:
        yield Networks(engine)
    finally:
        engine.close()


def real_head(path: Path) -> Head:
    """The head of a zipped series."""
    from scipy import ndimage

    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
        volume = assemble(sorted(each for each in Path(folder).rglob("*") if each.is_file()))
    upright = straightened(volume)
    hu, grid = at_one_mm(volume if upright is None else upright.volume)
    inside = inside_of_skull(hu)
    return Head(hu=hu, grid=grid, inside=inside, brain=ndimage.distance_transform_edt(inside) > DEEP_MM + BEYOND_MM)


def read(head: Head, hu: NDArray[Any], where: Mask, infer: Networks) -> Reading:
    """What the networks say of a part of a head."""
    together, alone = labels_of(hu, where, infer)
    return Reading(grid=head.grid, together=together, alone=alone, searched_cm3=int(np.count_nonzero(where)) / 1000)


def look(head: Head, bleed: Bleed, infer: Networks) -> Looked:
    """Look for one bleed on its own blocks, by the networks and by the threshold; found is what is called present and lies there."""
    reading = read(head, bleed.hu, bleed.block & head.inside, infer)
    marked = np.isin(reading.together, HAEMORRHAGES)
    lies_there = int(np.count_nonzero(marked & bleed.inside)) >= 0.5 * int(np.count_nonzero(bleed.inside))
    around = bleed.around
    dense = np.zeros_like(marked)
    dense[around] = by_threshold(bleed.hu[around], head.brain[around])
    dense &= bleed.block
    return Looked(
        planted_cm3=bleed.cm3,
        level_hu=bleed.level_hu,
        found=lies_there and verdict(reading, HAEMORRHAGES).value == codes.PRESENT,
        marked_cm3=int(np.count_nonzero(marked)) / 1000,
        by_threshold=int(np.count_nonzero(dense & bleed.inside)) >= 0.5 * int(np.count_nonzero(bleed.inside)),
        threshold_cm3=int(np.count_nonzero(dense)) / 1000,
    )


def by_threshold(hu: NDArray[Any], brain: Mask) -> Mask:
    """What a program without a network marks: smooth, as dense as blood, away from bone, opened, in parts of `LEAST_CM3` and more."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(np.clip(hu, -100, 200).astype(np.float32), 1.0)
    blood = ndimage.binary_opening((smooth > BLOOD_HU[0]) & (smooth < BLOOD_HU[1]) & brain)
    parts, _ = ndimage.label(blood)
    large = np.flatnonzero(np.bincount(parts.ravel()) >= LEAST_CM3 * 1000)
    return np.isin(parts, large[large > 0])


def _plain(head: Head, repository: Path) -> list[Row]:
    """The head as it is."""
    before = _children_s()
    with networks(repository) as infer:
        reading = read(head, head.hu, head.inside, infer)
    cpu_s = _children_s() - before
    bleeding, oedema = reading.marked_cm3(HAEMORRHAGES), reading.marked_cm3((HeadLesion.OEDEMA,))
    threshold = int(np.count_nonzero(by_threshold(head.hu, head.brain))) / 1000
    return [
        Row(
            name="a real plain head: haemorrhage of any kind, threshold beside it",
            value=bleeding,
            unit="cm3",
            baseline=threshold,
            goal=f"< {PLAIN_CM3} cm3",
            met=bleeding < PLAIN_CM3,
        ),
        Row(name="a real plain head: oedema", value=oedema, unit="cm3"),
        Row(
            name="a head by three networks: processor time",
            value=cpu_s,
            unit="s",
            goal=f"at most {CPU_S:g} s",
            met=cpu_s <= CPU_S,
        ),
    ]


def _of_bleeds(looked: Sequence[Looked]) -> list[Row]:
    groups = {
        f"from {FROM_CM3:g} cm3 and 60 HU on": [one for one in looked if one.dense],
        f"below {FROM_CM3:g} cm3, from 60 HU on": [one for one in looked if one.level_hu >= 60 and not one.dense],
        "50 to 60 HU": [one for one in looked if one.level_hu < 60],
    }
    rows = []
    for name, group in groups.items():
        found = [one for one in group if one.found]
        low, high = interval(len(found), len(group))
        say(f"planted, {name}: {len(found)} of {len(group)} found, 95 % interval {100 * low:.0f} to {100 * high:.0f} %")
        wanted = name.startswith("from")
        rows.append(
            Row(
                name=f"planted bleeds {name}: found of {len(group)}, threshold beside it",
                value=len(found) / len(group),
                unit="share",
                baseline=sum(one.by_threshold for one in group) / len(group),
                goal=f"at least {FOUND:g}" if wanted else "",
                met=len(found) >= FOUND * len(group) if wanted else None,
            )
        )
    dense = [one for one in groups[f"from {FROM_CM3:g} cm3 and 60 HU on"] if one.found]
    errors = [abs(one.marked_cm3 / one.planted_cm3 - 1) for one in dense]
    by_threshold = [abs(one.threshold_cm3 / one.planted_cm3 - 1) for one in dense]
    rows.append(
        Row(
            name="planted bleeds found: error of volume, median, threshold beside it",
            value=median(errors),
            unit="share",
            baseline=median(by_threshold),
            goal=f"at most {VOLUME:g}",
            met=median(errors) <= VOLUME,
        )
    )
    within = sum(error <= VOLUME for error in errors) / len(errors)
    rows.append(Row(name=f"planted bleeds found: volume within {VOLUME:.0%}", value=within, unit="share"))
    return rows


def _whole(head: Head, infer: Networks) -> Row:
    """On how many voxels of the blocks the whole head says otherwise than the blocks alone, of a head with several bleeds."""
    hu: NDArray[Any] = head.hu
    blocks: list[Mask] = []
    for seed in range(WHOLE):
        (bleed,) = bleeds(hu, head.brain, 1, faint=0, seed=SEED + 1 + seed)
        hu = bleed.hu
        blocks.append(bleed.block & head.inside)
    whole = read(head, hu, head.inside, infer)
    differ = 0
    for where in blocks:
        alone = read(head, hu, where, infer)
        pairs = ((alone.together, whole.together), *zip(alone.alone, whole.alone, strict=True))
        differ += sum(int(np.count_nonzero(one[where] != other[where])) for one, other in pairs)
    return Row(
        name=f"{WHOLE} bleeds on the whole head: voxels of their blocks that differ", value=differ, unit="voxels", goal="0", met=differ == 0
    )


def interval(found: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z = 1.959964
    share, spread = found / of, z * math.sqrt(found / of * (1 - found / of) / of + z**2 / (4 * of**2))
    return (share + z**2 / (2 * of) - spread) / (1 + z**2 / of), (share + z**2 / (2 * of) + spread) / (1 + z**2 / of)


def _told(one: Looked) -> str:
    said = "found" if one.found else "missed"
    return f"{one.planted_cm3:.1f} cm3 of {one.level_hu:.0f} HU {said}, marked {one.marked_cm3:.1f}; by threshold {one.threshold_cm3:.1f}"


def _children_s() -> float:
    """Processor time of processes that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
