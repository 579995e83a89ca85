"""The bench of wrong inputs: what the judge of mr-brain, chest-xray and bright-lesion takes and declines, real and made ones apart.

mr-brain's network is asked for each head (seconds); its masks are kept by the digests of its models and of the input below
HILUM_BENCH_CACHE and asked for once, so that a run that was cut short goes on; real right heads are asked for every time, since they are
timed. Everything is judged by pixels alone, as if headers said nothing: what they say against a series declines more.
"""

import hashlib
import os
import textwrap
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.judge_inputs import Input, flairs, heads, radiographs
from bench.judge_made import CUT, RIGHT, WRONG
from bench.rows import Row, say
from inference import codes
from inference.applications.accept import check
from inference.errors import InputError
from inference.findings import Evaluation, Findings, Measurement, Segment
from inference.imaging.judge.judging import Judge
from inference.imaging.subject import Image, Images
from inference.imaging.volume import SliceSource, Volume

_DATA = Path(os.environ.get("HILUM_DATA", Path(__file__).resolve().parents[1] / "../shared/data"))
_CACHE = Path(os.environ.get("HILUM_BENCH_CACHE", Path.home() / ".cache/hilum/judge"))
PICTURES = Path(__file__).resolve().parents[1] / "docs/images/judge-worst.png"
SHOWN = 10
ENOUGH = 100
"""Sources from which on a share is told in percent."""
FALSE_ACCEPT, FALSE_REFUSE = 0.01, 0.02
MOST_TIME = 0.10


class End(StrEnum):
    """What became of an input."""

    TAKEN = "taken"
    TOLD = "told"
    AT_LEAST = "at least"
    DECLINED = "declined"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """One input and its end; `doubt` is the code or sentence, `marked` what the network marked."""

    input: Input
    end: End
    doubt: str
    judge_s: float
    model_s: float = 0.0
    marked: NDArray[np.bool_] | None = None

    @property
    def wrong(self) -> bool:
        """Delivered as if it were right, or declined though it is: a picture that was told of is neither."""
        if self.input.kind == RIGHT:
            return self.end is End.DECLINED
        return self.end is End.TAKEN


def measure() -> list[Row]:
    """All three applications; the pictures of what still passes are written beside the documentation."""
    if not _DATA.is_dir():
        say("the real images are not here (HILUM_DATA): nothing is judged")
        return []
    brains, chests, lesions = judged_heads(), judged_radiographs(), judged_lesions()
    draw(worst([*brains, *chests]))
    for each in (*brains, *lesions, *(chest for chest in chests if not chest.input.change)):
        say(f"{each.input.kind:5} {each.input.name}: {each.end.value}{f' ({each.doubt})' if each.doubt else ''}")
    rows = [*shares("mr-brain", brains), *shares("chest-xray", chests), *shares("bright-lesion", lesions)]
    taken = [each for each in brains if each.input.kind == RIGHT and each.model_s]
    if taken:
        ours, whole = median(each.judge_s for each in taken), median(each.model_s for each in taken)
        rows.append(
            Row(
                name="mr-brain: seconds of the judge, right heads, median",
                value=ours,
                unit="s",
                baseline=whole,
                goal=f"at most {100 * MOST_TIME:.0f} % of the analysis",
                met=ours <= MOST_TIME * whole,
            )
        )
    return rows


def judged_heads() -> list[Judged]:
    """Every head through the network and both questions of the judge, by pixels alone."""
    network = Network()
    return [judged_head(one, network) for one in heads(_DATA, network)]


def judged_head(one: Input, network: "Network") -> Judged:
    """One head."""
    from inference.applications.mr_brain.application import APPLICATION, LABEL
    from inference.applications.mr_brain.extraction import NoBrainOnT1

    began = time.perf_counter()
    judge = Judge(APPLICATION.expects, one.picture, ())
    try:
        told = judge.before()
        before_s = time.perf_counter() - began
        mask = network(one.picture, timed=one.kind == RIGHT and not one.change)
        began = time.perf_counter()
        said = judge.after(_found(one.picture, mask, LABEL))
    except (InputError, NoBrainOnT1) as declined:
        return Judged(input=one, end=End.DECLINED, doubt=declined.code, judge_s=time.perf_counter() - began)
    cautions, judge_s = (*told, *said.cautions), before_s + time.perf_counter() - began
    return Judged(
        input=one,
        end=End.AT_LEAST if said.measurements[0].at_least else End.TOLD if cautions else End.TAKEN,
        doubt=" ".join(caution.sentence for caution in cautions),
        judge_s=judge_s,
        model_s=network.took_s,
        marked=mask,
    )


def judged_lesions() -> list[Judged]:
    """Every head that is real, or drawn of labels, through bright-lesion; FLAIR are right."""
    from inference.applications.bright_lesion.application import APPLICATION

    judged = []
    for one in flairs(_DATA):
        began = time.perf_counter()
        judge, end, doubt = Judge(APPLICATION.expects, one.picture, ()), End.TAKEN, ""
        try:
            check(APPLICATION, one.picture)
            judge.before()
            judge_s = time.perf_counter() - began
            APPLICATION.analyse(one.picture, _NoModels())
        except InputError as declined:
            end, doubt, judge_s = End.DECLINED, declined.code, time.perf_counter() - began
        judged.append(Judged(input=one, end=end, doubt=doubt, judge_s=judge_s))
    return judged


class _NoModels:
    """bright-lesion asks none."""

    def __call__(self, *_: Any) -> Any:
        raise AssertionError("a model was asked for")

    at_once = call_of = __call__


def judged_radiographs() -> list[Judged]:
    """Every radiograph as an image of which something was said."""
    from inference.applications.chest_xray.application import APPLICATION

    judged = []
    said = Findings(evaluations=(Evaluation(finding=codes.PNEUMONIA, value=codes.ABSENT, images=(0,)),))
    for one in radiographs(_DATA):
        began = time.perf_counter()
        try:
            cautions = Judge(APPLICATION.expects, _images(one.picture), ()).after(said).cautions
            end, doubt = (End.TOLD, cautions[0].sentence) if cautions else (End.TAKEN, "")
        except InputError as declined:
            end, doubt = End.DECLINED, declined.code
        judged.append(Judged(input=one, end=end, doubt=doubt, judge_s=time.perf_counter() - began))
    return judged


class Network:
    """mr-brain's masks: asked for once, then read."""

    def __init__(self) -> None:
        self._infer: Any = None
        self.took_s = 0.0

    def __call__(self, volume: Volume, *, timed: bool = False) -> NDArray[np.bool_]:
        """The mask (Z, Y, X); a `timed` one is not read."""
        from inference.applications.mr_brain.application import APPLICATION
        from inference.applications.mr_brain.extraction import extract

        models = hashlib.sha256("".join(source.sha256 for source in APPLICATION.sources).encode()).hexdigest()
        digest = hashlib.sha256(volume.voxels.tobytes() + volume.affine.tobytes() + str(volume.voxels.dtype).encode()).hexdigest()
        kept = _CACHE / models[:16] / f"{digest}.npz"
        self.took_s = 0.0
        if kept.is_file() and not timed:
            with np.load(kept) as held:
                return np.unpackbits(held["mask"], count=volume.voxels.size).reshape(volume.voxels.shape).astype(np.bool_)
        if self._infer is None:
            self._infer = _served()
        began = time.perf_counter()
        mask = extract(volume, self._infer)
        self.took_s = time.perf_counter() - began
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(kept, mask=np.packbits(mask))
        return mask


def _served() -> Any:
    from bench.heads import repository
    from inference.engines.embedded.engine import EmbeddedEngine

    models = _CACHE / "models"
    if not models.is_dir():
        models.mkdir(parents=True)
        repository(models, tuned=False)
    engine = EmbeddedEngine(models, threads=2)

    class OneByOne:
        def __call__(self, model: Any, tensors: Any) -> Any:
            return engine.infer(model, tensors)

        def at_once(self, model: Any) -> int:
            return 1

        def call_of(self, model: Any) -> None:
            return None

    return OneByOne()


def _found(volume: Volume, mask: NDArray[np.bool_], label: str) -> Findings:
    volume_cm3 = int(np.count_nonzero(mask)) * volume.voxel_volume_mm3 / 1000
    return Findings(
        segments=(Segment(label=label, mask=mask, category=codes.ANATOMICAL_STRUCTURE, type=codes.INTRACRANIAL_SPACE, rgb=(1, 1, 1)),),
        measurements=(Measurement(name=codes.VOLUME, value=volume_cm3, unit=codes.CUBIC_CENTIMETRE, segment=label),),
    )


def _images(pixels: NDArray[Any]) -> Images:
    image = Image(
        pixels=pixels,
        source=SliceSource(sop_instance_uid="1.2", sop_class_uid="1.2"),
        series_instance_uid="1",
        inverted=False,
        spacing_mm=None,
        calibrated=False,
        view="",
        laterality="",
    )
    return Images(images=(image,), modality="DX", study_instance_uid="1", series_instance_uid="1")


def shares(application: str, judged: Sequence[Judged]) -> list[Row]:
    """For every change and kind of input of an application: how many sources of it ended otherwise than they should."""
    rows: list[Row] = []
    for change in dict.fromkeys(each.input.change for each in judged):
        for unseen in (False, True):
            for kind in (WRONG, CUT, RIGHT):
                these = [each for each in judged if (each.input.change, each.input.unseen, each.input.kind) == (change, unseen, kind)]
                if these:
                    how = f"made: {change}" if change else "real"
                    rows += _share(f"{application}, {how}, {'unseen' if unseen else 'seen'}, {kind}", kind, these)
    return rows


def _share(name: str, kind: str, judged: Sequence[Judged]) -> Iterable[Row]:
    """Counted by source: one that fails with any of its inputs has failed."""
    sources = {each.input.source for each in judged}
    failed = {each.input.source for each in judged if each.wrong}
    ends = Counter(each.end for each in judged)
    said = ", ".join(f"{count} {end.value}" for end, count in sorted(ends.items()))
    goal = FALSE_REFUSE if kind == RIGHT else FALSE_ACCEPT
    what = "declined" if kind == RIGHT else "taken without a word"
    if len(sources) < ENOUGH:
        yield Row(name=f"{name}: sources {what} ({len(judged)} inputs: {said})", value=len(failed), unit=f"of {len(sources)}")
        return
    share = len(failed) / len(sources)
    yield Row(
        name=f"{name}: sources {what} ({len(judged)} inputs of {len(sources)}: {said})",
        value=100 * share,
        unit="%",
        goal=f"at most {100 * goal:.0f} %",
        met=share <= goal,
    )


def worst(judged: Sequence[Judged]) -> list[Judged]:
    """Wrong inputs that are delivered: one of each source, or of each way to make one, before a second; without a word before told."""
    turns: Counter[str] = Counter()
    passed = []
    for each in sorted((each for each in judged if each.end is not End.DECLINED), key=lambda each: each.end is not End.TAKEN):
        if each.input.kind == WRONG and each.input.shown:
            way = each.input.change or each.input.source
            passed.append((turns[way], each))
            turns[way] += 1
    return [each for _, each in sorted(passed, key=lambda turned: turned[0])][:SHOWN]


def draw(shown: Sequence[Judged]) -> None:
    """The middle of each, with what was marked in red."""
    from PIL import Image as Picture
    from PIL import ImageDraw

    side, head, letters = 180, 40, 30
    sheet = Picture.new("RGB", (side * 5, (side + head) * -(-max(len(shown), 1) // 5)))
    for number, each in enumerate(shown):
        place = ((number % 5) * side, (number // 5) * (side + head))
        sheet.paste(_tile(each, side), (place[0], place[1] + head))
        called = textwrap.wrap(f"{each.end.value}: {each.input.name}", letters, max_lines=3, placeholder=" …")
        ImageDraw.Draw(sheet).text((place[0] + 2, place[1] + 2), "\n".join(called), fill=(255, 220, 90), spacing=1)
    PICTURES.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(PICTURES, optimize=True)


def _tile(each: Judged, side: int) -> Any:
    from PIL import Image as Picture

    if isinstance(each.input.picture, Volume):
        volume: Volume = each.input.picture
        sums = [np.count_nonzero(plane) for plane in each.marked] if each.marked is not None else []
        z = int(np.argmax(sums)) if sums else len(volume.voxels) // 2
        plane, marked = volume.voxels[z], None if each.marked is None else each.marked[z]
        high, wide = (count * step for count, step in zip(plane.shape, volume.spacing_mm[1:], strict=True))
    else:
        plane, marked = each.input.picture, None
        high, wide = plane.shape
    low, top = np.percentile(plane, (1, 99.5))
    grey = np.clip((plane - low) / max(float(top - low), 1e-6), 0, 1) * 255
    colour = np.repeat(grey[..., None], 3, axis=-1)
    if marked is not None:
        colour[marked] = colour[marked] * 0.7 + np.array([255, 60, 60]) * 0.3
    scale = side / max(high, wide)
    tile = Picture.new("RGB", (side, side))
    tile.paste(Picture.fromarray(colour.astype(np.uint8)).resize((max(1, int(wide * scale)), max(1, int(high * scale)))))
    return tile
