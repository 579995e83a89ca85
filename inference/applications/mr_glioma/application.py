"""The manifest of mr-glioma, and what it says of masks: how they are found stands in `reading`, on what in `preparing`."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from inference import codes
from inference.applications.mr_brain import APPLICATION as MR_BRAIN
from inference.applications.mr_brain.extraction import BOUNDING_BOX, BRAIN
from inference.applications.mr_glioma.network import SLICES_IN, SLICES_OUT, to_onnx
from inference.applications.mr_glioma.preparing import brain_in, contrasts_on, grid_of
from inference.applications.mr_glioma.reading import MODELS, SEED, TILES, Direction, Tumour, TumourPart, model_of, read_tumour
from inference.applications.port import (
    Accepts,
    Application,
    Golden,
    Infer,
    Licences,
    MeasurementOutput,
    ModelSource,
    RigidMotion,
    Role,
    SegmentOutput,
    Takes,
)
from inference.codes import Code
from inference.findings import Findings, Measurement, Segment
from inference.imaging.judge.expects import BodyPart, Contrast, Expects
from inference.imaging.resample import Grid, Interpolation, resample
from inference.imaging.subject import VolumeSet
from inference.stages import BACK, stage
from inference.translatable import say

ENHANCING_LESION = Code("C113842", "NCIt", "Enhancing Lesion")


@dataclass(frozen=True, slots=True, kw_only=True)
class _PartTold:
    """How a part of a tumour is told."""

    label: str
    type: Code
    rgb: tuple[int, int, int]


_TOLD = {
    # what differs from a healthy brain, with the oedema: no code says that, and a neoplasm it is not
    TumourPart.WHOLE: _PartTold(label="whole tumour with oedema", type=codes.LESION, rgb=(90, 200, 110)),
    TumourPart.CORE: _PartTold(label="tumour core", type=codes.NEOPLASM, rgb=(240, 200, 60)),
    TumourPart.ENHANCING: _PartTold(label="enhancing tumour", type=ENHANCING_LESION, rgb=(220, 50, 50)),
}

GRADE = say(
    "Research only, not for diagnosis. Nine published networks, trained on 285 gliomas before treatment (BraTS 2017); nobody knows what "
    "they mark after an operation, of other tumours or lesions, and in children."
)
COMPUTED = say(
    "Computed at 1 mm in tiles of {slices_in} slices, {slices_out} of them kept, up to {tiles} to a call. The networks normalise by the "
    "statistics of a call's tiles: these sizes are part of the result, as is the noise around the brain (seed {seed}).",
    slices_in=str(SLICES_IN),
    slices_out=str(SLICES_OUT),
    tiles=str(TILES),
    seed=str(SEED),
)
_MOTION = RigidMotion(max_mm=30, max_degrees=25, always=True)
_SERIES = Accepts(modality=("MR",), min_slices=15, max_spacing_mm=7.0, max_thickness_mm=7.0, min_extent_mm=100)


_WITHOUT = """What a contrast is worth, on one case (TCGA-FG-6692), by all nine networks: instead of its values stands its
mean (0 after normalisation) on every voxel. Volumes in cm³, and Dice coefficients with the same run of all four.

| | whole tumour | core | enhancing tumour |
|---|---|---|---|
| all four | 30.61 | 9.65 | 6.89 |
| without FLAIR | 19.64 (0.76) | 8.74 (0.90) | 6.68 (0.93) |
| without T1 | 31.34 (0.98) | 8.63 (0.93) | 6.45 (0.94) |
| without T1 with contrast | 29.59 (0.96) | 16.41 (0.63) | 0.00 (0.00) |
| without T2 | 36.72 (0.90) | 10.04 (0.97) | 7.23 (0.96) |
"""
"""For the card of each network; mr-glioma takes all four or none."""
_EXPECTED = {
    "T1": Expects(part=BodyPart.HEAD, contrast=Contrast.T1, native=True),
    "T2": Expects(part=BodyPart.HEAD),
    "FLAIR": Expects(part=BodyPart.HEAD, contrast=Contrast.FLAIR),
}
"""Of what is brought to T1c, which results lie on: the contrast medium's images are the finest, as a rule."""


def _role(name: str, expects: Expects) -> Role:
    """On its own grid: what is thick would be blurred once more on other thick slices."""
    return Role(name=name, motion=_MOTION, own_grid=True, accepts=_SERIES, expects=expects)


def analyse(volumes: VolumeSet, infer: Infer) -> Findings:
    """Mark a glioma's parts, and measure them.

    Raises
    ------
    NoBrainInContrasts, NoBrainOnT1
    """
    grid = grid_of(volumes)
    contrasts = contrasts_on(grid, volumes)
    brain = brain_in(contrasts, grid, volumes, infer)
    tumour = read_tumour(contrasts, brain, infer)
    with stage(BACK):
        segments = tuple(_segments(tumour, grid, volumes))
    return Findings(segments=segments, measurements=tuple(_volume(volumes, one) for one in segments), remarks=(GRADE, COMPUTED))


def _segments(tumour: Tumour, grid: Grid, volumes: VolumeSet) -> Iterator[Segment]:
    """On the reference's voxels; what is thin may lie between two slices, where no mask shows it."""
    for part, told in _TOLD.items():
        mask = resample(tumour.of(part), grid, Grid.of(volumes.reference), by=Interpolation.LINEAR)
        if mask.any():
            yield Segment(
                label=told.label,
                mask=mask,
                category=codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE,
                type=told.type,
                rgb=told.rgb,
                finding_site=codes.BRAIN,
            )


def _volume(volumes: VolumeSet, segment: Segment) -> Measurement:
    volume_cm3 = int(np.count_nonzero(segment.mask)) * volumes.reference.voxel_volume_mm3 / 1000
    return Measurement(name=codes.VOLUME, value=volume_cm3, unit=codes.CUBIC_CENTIMETRE, segment=segment.label)


_SUFFIXES = {Direction.AXIAL: "", Direction.SAGITTAL: "sg", Direction.CORONAL: "cr"}


def _source(part: TumourPart, view: Direction, data: str, index: str, golden: Golden) -> ModelSource:
    model = model_of(part, view)
    return ModelSource(
        model=model,
        sha256=data,
        joined=(index,),
        licence="BSD-3-Clause",
        attribution="brats17, University College London (Wang, Li, Ourselin and Vercauteren, arXiv 1709.00382, 2017)",
        config=(Path(__file__).parent / "models" / f"{model.name}.pbtxt").read_text(encoding="utf-8"),
        file="model.onnx",
        published=(
            f"taigw/brats17 on GitHub, commit f56034f, model17/msnet_{part.value}32{_SUFFIXES[view]}_20000.ckpt, "
            ".data-00000-of-00001 and .index"
        ),
        convert=to_onnx,
        golden=golden,
        notes=_WITHOUT,
    )


SOURCES = (
    _source(
        TumourPart.WHOLE,
        Direction.AXIAL,
        "393da1a13ad95ccd87a6f26045285d94554b74d2c7f0d2c2c7561b3da024b55e",
        "4574252fe1a4d2ccea55842734b814c4a05f99955742aa527f7a21bf924dd528",
        Golden(shape=(2, 4, 19, 32, 32), mean=-5.05965, deviation=2.35216),
    ),
    _source(
        TumourPart.WHOLE,
        Direction.SAGITTAL,
        "4eaff6d554d5bd6f01c63f0b2030c79c0963570412176c8a9bc76c81a6eb6c5c",
        "f763aa1eafc8d666e7c8ac6d75a252b8474fa78d60140fef793a81ecaf829bd7",
        Golden(shape=(2, 4, 19, 32, 32), mean=-3.88287, deviation=2.85907),
    ),
    _source(
        TumourPart.WHOLE,
        Direction.CORONAL,
        "a748e1127ec7447d6c0b3d0b468d38d854aedf09bed2dddeda58969c448b150a",
        "d79007173a669a9c360c23c66586bf0a1bc69f0573c18274ded70fb2417db2ff",
        Golden(shape=(2, 4, 19, 32, 32), mean=-4.47943, deviation=2.06541),
    ),
    _source(
        TumourPart.CORE,
        Direction.AXIAL,
        "0a2763fcaef73cb394bc20aa0d8ff8554114ee2e0a3f420ea3ec558db0dce673",
        "a1cb2d8df92084421f5e7a3c255bd84cb00e09f1231716ec08009adb773eebea",
        Golden(shape=(2, 4, 19, 32, 32), mean=-4.27442, deviation=4.57547),
    ),
    _source(
        TumourPart.CORE,
        Direction.SAGITTAL,
        "8ab3ea118d70f5bf118760e049f99c88b0395b5186e0dcbd7d37c89f6ff05291",
        "6d3e82f1178e99de08e3efa9d05294939adf84f7638119a600ab253ba9d6dab1",
        Golden(shape=(2, 4, 19, 32, 32), mean=-5.06262, deviation=2.43622),
    ),
    _source(
        TumourPart.CORE,
        Direction.CORONAL,
        "8a59c62db9f195a6a46730f1a6a04a5c286909d14774b843565c9cfc051b41af",
        "7da432ab8fd3e7997de59037c4d2ed9855a1490b7f1dbf07dd967536bb645fa5",
        Golden(shape=(2, 4, 19, 32, 32), mean=-4.14361, deviation=5.33868),
    ),
    _source(
        TumourPart.ENHANCING,
        Direction.AXIAL,
        "d866879ddd0550bc645f8bedb927e2da56731501c05e9aa0e1c44eb94b6dff05",
        "a33b35d20dc23e2f6f8d13f8201a9df6f8eda94476cfa6fd25c9825da563b9d0",
        Golden(shape=(2, 4, 19, 32, 32), mean=-2.74802, deviation=4.32122),
    ),
    _source(
        TumourPart.ENHANCING,
        Direction.SAGITTAL,
        "5d9954f4ec8005fab91b22db501a83c5e0fd534f528dc16c535de3c3479ecba6",
        "91e8cfafaa6c528a76e705d945b1b49de608d7def5d66a3794b8cd0b4ec92205",
        Golden(shape=(2, 4, 19, 32, 32), mean=-7.44793, deviation=2.42985),
    ),
    _source(
        TumourPart.ENHANCING,
        Direction.CORONAL,
        "ccb54c2a7ed6d753c58b3d5e88539592b214376189d4718bf7f850dfaac385f3",
        "1aa274598fb3739ecc14c3267a42c69de711025351236dbf71515cc956fb1037",
        Golden(shape=(2, 4, 19, 32, 32), mean=-5.17628, deviation=2.91988),
    ),
)

APPLICATION = Application(
    name="mr-glioma",
    version="1.0.0",
    title="Glioma on four MR contrasts",
    noun="Glioma",
    series=12,
    accepts=replace(_SERIES, takes=Takes.VOLUMES),
    models=(*MODELS, BOUNDING_BOX, BRAIN),
    outputs=(
        *(SegmentOutput(label=told.label, type=told.type, searched=codes.BRAIN) for told in _TOLD.values()),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
    ),
    licences=Licences(code="Apache-2.0", data="BraTS 2017, for research by its terms", commercial="no"),
    analyse=analyse,
    expects=Expects(part=BodyPart.HEAD, contrast=Contrast.T1),
    sources=(*SOURCES, *MR_BRAIN.sources),
    roles=(Role(name="T1c"), *(_role(name, expects) for name, expects in _EXPECTED.items())),
)
