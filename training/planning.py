"""Plan of a network for a folder's own structures: spacing, window and grey values, found in the training cases.

The plan is an application.json (`inference.applications.bundle.manifest`): what is trained by it is served by it.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inference.applications import catalog
from inference.applications.bundle.finish import Activation, Decision, Return
from inference.applications.bundle.inferer import SlidingWindow
from inference.applications.bundle.manifest import MIN_SLICES, BundleManifest, from_text, to_text
from inference.applications.bundle.names import colour
from inference.applications.bundle.steps import NormalizeIntensity, Orientation, ScaleIntensityRange, Spacing, Transform
from inference.applications.bundle.structures import Structure
from inference.applications.port import Accepts, ModelRef
from inference.engines.port import SERVING
from inference.imaging.resample import Grid, reorientation
from inference.imaging.subject import Takes
from training.checkpoint import save_json
from training.data.cases import Labelled
from training.data.dicom import Segment
from training.data.outlined import BY_PATIENT, ONE, Layout, Roles
from training.errors import BrokenRun, UnfitData, UnfitSetting

PLAN = "plan.json"
"""What was found in the data, in the run's folder."""
AGAIN = "begin anew with another --out, or remove the run's folder"
"""What to do about a run that another version began, or that is damaged."""

AXES = "SPL"
"""The network's axes run to the head, to the back and to the left."""

STRIDE = 8
"""What the sides of the network's window are multiples of."""
_SIDES = (2 * STRIDE, 64)
_MOST_SIDE = 512
_SPACINGS_MM = (0.05, 50.0)
_MOST_VOXELS = 1 << 24
"""Of the median series as the network sees it: 256 × 256 × 256. Finer, an hour of a processor would not serve a study."""

_GREY_PERCENTILES = (0.5, 99.5)
_LEAST_HU = 400.0
"""The narrowest window of CT: soft tissues are told apart by what is around them, too."""
_SAMPLED = 20_000
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_OVERLAP = 0.25

Triple = tuple[float, float, float]

EARLY, LATE = "early", "late"
"""Where several roles come together in a network for a table."""
GROUPS = "groups"
"""How a network for a table normalises where its steps are to be private: over groups of channels of one image, not over a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the user says of a training; what is None is found in the data.

    Attributes
    ----------
    name
        Of the application.
    labels
        The structures, those that lie over others last; () for all.
    spacing_mm, window
        Of the network's image, along the axes to the head, to the back and to the left.
    target
        Of a table of labels, the columns that are learned; () for all.
    augmentation
        How strong it is, 1 for the recipe's own.
    modality
        What files that do not say it are images of, as DICOM names it.
    roles
        Where a case has several images, those that are learned together; () for what the layout says.
    optional
        Those of `roles` without which it is learned, too.
    fusion
        Of several roles in a network for a table, where they come together: "early", as channels of one encoder, as where nothing is said;
        or "late", behind one each.
    norm
        Of a network for a table: "groups"; None for what it is made with, which looks over the batch.
    """

    name: str | None = None
    labels: tuple[str, ...] = ()
    spacing_mm: Triple | None = None
    window: tuple[int, int, int] | None = None
    target: tuple[str, ...] = ()
    augmentation: float | None = None
    modality: str | None = None
    roles: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    fusion: str | None = None
    norm: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a network is trained and served, and on how many series of how many patients it was planned.

    Attributes
    ----------
    manifest
        Its model follows the repository; a version of its own comes with the export.
    seed, training
        Of the split that it was planned on, and the digest of its training cases: a plan that saw held-out cases serves no other split.
    layout, split
        How the data lie, and by what cases were put on one side or another.
    """

    manifest: BundleManifest
    asked: Asked
    series: int
    patients: int
    seed: int
    training: str
    layout: Layout
    split: str

    @property
    def window(self) -> tuple[int, int, int]:
        assert isinstance(self.manifest.inferer, SlidingWindow)
        return self.manifest.inferer.roi_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one training case says of the data."""

    spacing_mm: Triple
    shape: tuple[int, int, int]
    grey: np.ndarray


def strength(asked: Asked) -> float:
    """Of the augmentation."""
    return 1.0 if asked.augmentation is None else asked.augmentation


def facts(labelled: Labelled) -> Facts:
    """Spacing and shape along the network's axes, and values of some labelled voxels."""
    source = Grid.of(labelled.volume)
    grid = reorientation(source, AXES).grid(source)
    values = labelled.volume.voxels[labelled.labels > 0]
    # evenly over all of them: neighbours say much the same
    return Facts(spacing_mm=grid.spacing_mm, shape=grid.shape, grey=values[:: max(1, values.size // _SAMPLED)].astype(np.float32))


def planned(
    seen: Sequence[Facts],
    structures: Sequence[Segment],
    modality: str,
    asked: Asked,
    *,
    series: int,
    patients: int,
    seed: int,
    training: str,
    layout: Layout = Layout.DICOM,
    split: str = BY_PATIENT,
    roles: Roles = ONE,
) -> Plan:
    """The plan for these training cases, `training` being their digest.

    Raises
    ------
    UnfitSetting, UnfitData
    """
    name = application_name(asked.name or "segmentation")
    spacing = _checked_spacing(asked.spacing_mm) if asked.spacing_mm else _spacing(seen)
    sides = np.median([np.array(one.shape) * one.spacing_mm for one in seen], axis=0) / spacing
    window = _checked_window(asked.window) if asked.window else _window(sides)
    manifest = BundleManifest(
        name=name,
        version="1.0.0",
        title=(", ".join(one.label for one in structures) + f" on {modality}")[:64].strip(),
        accepts=Accepts(modality=(modality,), min_slices=MIN_SLICES, takes=Takes.VOLUMES if roles.names else Takes.VOLUME),
        roles=roles.names,
        optional=roles.optional,
        model=ModelRef(name=name.replace("-", "_"), version=SERVING),
        input="INPUT__0",
        output="OUTPUT__0",
        channels=len(structures) + 1,
        prepare=(Orientation(axcodes=AXES), Spacing(pixdim=spacing), _grey(seen, modality)),
        inferer=SlidingWindow(roi_size=window, overlap=_OVERLAP, mode="gaussian"),
        # probabilities come back, then each voxel of the series decides: smoother than decided labels on another grid
        finish=(Activation(softmax=True), Return(nearest=False), Decision()),
        structures=tuple(
            Structure(
                channel=channel,
                label=one.label,
                type=one.type,
                category=one.category,
                laterality=one.laterality,
                site=one.site,
                rgb=colour(channel - 1),
            )
            for channel, one in enumerate(structures, start=1)
        ),
    )
    return Plan(manifest=manifest, asked=asked, series=series, patients=patients, seed=seed, training=training, layout=layout, split=split)


def application_name(name: str) -> str:
    """The name, which no application of hilum has.

    Raises
    ------
    UnfitSetting
    """
    if not _NAME.fullmatch(name):
        raise UnfitSetting(f'"{name}" is no name for an application: lower-case words joined by "-"')
    if name in catalog.names():
        raise UnfitSetting(f'"{name}" is an application of hilum already: another name with `--name`')
    return name


def told(plan: Plan) -> str:
    """The plan in one line, for people."""
    _, spacing, grey = plan.manifest.prepare
    assert isinstance(spacing, Spacing)
    values = (
        f"{grey.a_min:g} to {grey.a_max:g} HU" if isinstance(grey, ScaleIntensityRange) else "values by mean and deviation of each series"
    )
    return (
        f"{plan.series} series of {plan.patients} patients, {plan.manifest.accepts.modality[0]}: "
        f"{', '.join(one.label for one in plan.manifest.structures)}; {roles_told(plan.manifest)}{_by(spacing.pixdim)} mm, "
        f"windows of {_by(plan.window)} voxels (to the head, the back, the left), {values}"
        + ("" if plan.split == BY_PATIENT else f"; split {plan.split}")
    )


def roles_told(manifest: BundleManifest) -> str:
    """The roles that a network sees together, for people; "" where it sees one image."""
    return ", ".join(f"{role} (may be missing)" if role in manifest.optional else role for role in manifest.roles) + "; " * bool(
        manifest.roles
    )


def write(plan: Plan, run: Path) -> None:
    """Keep the plan in the run's folder."""
    said = {
        "asked": asdict(plan.asked),
        "series": plan.series,
        "patients": plan.patients,
        "seed": plan.seed,
        "training": plan.training,
        "layout": plan.layout,
        "split": plan.split,
        "application": json.loads(to_text(plan.manifest)),
    }
    save_json(run / PLAN, said)


def read(run: Path) -> Plan | None:
    """The plan of a run; None where nothing was planned yet.

    Raises
    ------
    BrokenRun
    """
    path = run / PLAN
    if not path.is_file():
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        asked: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in said["asked"].items()}
        manifest = from_text(json.dumps(said["application"]).encode(), str(path))
        counts = {name: said[name] for name in ("series", "patients", "seed", "training", "split")}
        return Plan(manifest=manifest, asked=Asked(**asked), layout=Layout(said["layout"]), **counts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as broken:
        raise BrokenRun(f"{path} is no plan that this version of hilum reads ({broken!r}): {AGAIN}") from broken


def _spacing(seen: Sequence[Facts]) -> Triple:
    """The median of each axis, all coarser by one factor where the median series would have too many voxels."""
    spacing = np.median([one.spacing_mm for one in seen], axis=0)
    sides = np.median([np.array(one.shape) * one.spacing_mm for one in seen], axis=0) / spacing
    first, second, third = (round(float(step), 3) for step in spacing * max(1.0, float(sides.prod()) / _MOST_VOXELS) ** (1 / 3))
    return first, second, third


def _window(sides: Any) -> tuple[int, int, int]:
    """As large as the median series, within what a processor can train."""
    first, second, third = (min(max(math.ceil(side / STRIDE) * STRIDE, _SIDES[0]), _SIDES[1]) for side in sides)
    return first, second, third


def _grey(seen: Sequence[Facts], modality: str) -> Transform:
    """CT: a window around the labelled voxels' HU; others have no unit, and are taken by mean and deviation of each series."""
    if modality != "CT":
        return NormalizeIntensity()
    values = np.concatenate([one.grey for one in seen])
    if not values.size:
        raise UnfitData("no voxel of the training patients is labelled")
    low, high = (float(each) for each in np.percentile(values, _GREY_PERCENTILES))
    wider = max(0.0, _LEAST_HU - (high - low)) / 2
    return ScaleIntensityRange(a_min=float(round(low - wider)), a_max=float(round(high + wider)), b_min=0.0, b_max=1.0, clip=True)


def _checked_spacing(spacing: Triple) -> Triple:
    if not all(_SPACINGS_MM[0] <= step <= _SPACINGS_MM[1] for step in spacing):
        raise UnfitSetting(f"--spacing {_by(spacing)}: {_SPACINGS_MM[0]:g} to {_SPACINGS_MM[1]:g} mm")
    return spacing


def _checked_window(window: tuple[int, int, int]) -> tuple[int, int, int]:
    if not all(_SIDES[0] <= side <= _MOST_SIDE and side % STRIDE == 0 for side in window):
        raise UnfitSetting(f"--window {_by(window)}: sides are multiples of {STRIDE} from {_SIDES[0]} to {_MOST_SIDE}")
    return window


def _by(sides: Sequence[float]) -> str:
    return " × ".join(f"{side:g}" for side in sides)
