"""The manifest of mr-super-resolution, and what it says of the images that come out; how slices are laid onto finer ones stands in
`preparing`."""

import numpy as np
from pydicom.uid import MRImageStorage

from inference import codes
from inference.applications.mr_super_resolution.preparing import LEAST_MM, MOST_MM, WINDOW, Image, ThickStack, prepare
from inference.applications.offered import refuse_not_offered
from inference.applications.port import Accepts, Application, DerivedOutput, Infer, ModelRef
from inference.engines.calling import run
from inference.engines.port import SERVING, Tiles
from inference.findings import DerivedImage, Findings
from inference.imaging.judge.expects import BodyPart, Contrast, Expects
from inference.imaging.volume import Affine, Volume
from inference.translatable import say

MODEL = ModelRef(name="mr_head_super_resolution", version=SERVING)
LABEL = "thin slices by a network, not acquired, research"
CALL = Tiles(window=WINDOW, overlap=0.25)


def analyse(volume: Volume, infer: Infer) -> Findings:
    """Make thin slices of thick ones; each acquired slice has one in its place, and the network's changes reach it, too.

    Raises
    ------
    OtherSlices, LevelNotOffered
    """
    stack = prepare(volume)
    apart = f"{stack.apart_mm:.1f}"
    refuse_not_offered(infer, MODEL, stack.apart_mm, f"series {volume.series_instance_uid} with slices of {apart} mm")

    def network(seen: Image) -> Image:
        made: Image = run(infer, MODEL, seen, input="INPUT__0", output="OUTPUT__0", by_default=CALL)[0]
        return made

    refined = stack.refined(network)
    if volume.voxels.min() >= 0:
        refined = np.maximum(refined, 0)
    return Findings(
        derived=(
            DerivedImage(label=LABEL, voxels=volume.held_alike(refined), derivation=codes.SPATIAL_RESAMPLING, affine=_finer(volume, stack)),
        ),
        remarks=(
            say(
                "Slices of {apart} mm were made into slices {fine} mm apart by a neural network: they were not acquired.",
                apart=apart,
                fine=f"{stack.fine_mm:.2f}",
            ),
            say("Small things may be invented or lost between the acquired slices: read the original images, never these alone."),
        ),
    )


def _finer(volume: Volume, stack: ThickStack) -> Affine:
    affine = volume.affine.copy()
    affine[:3, 0] /= stack.steps
    return affine


APPLICATION = Application(
    name="mr-super-resolution",
    version="1.0.0",
    title="Thin slices of thick ones on T1 MR of the head",
    noun="Head MR",
    series=17,
    accepts=Accepts(
        modality=("MR",),
        min_slices=6,
        max_spacing_mm=MOST_MM,
        min_apart_mm=LEAST_MM,
        min_extent_mm=30,
        remark_spacing_mm=7.0,
        # of enhanced ones the network knows none
        sop_classes=(MRImageStorage,),
    ),
    models=(MODEL,),
    outputs=(DerivedOutput(label=LABEL, derivation=codes.SPATIAL_RESAMPLING),),
    analyse=analyse,
    expects=Expects(part=BodyPart.HEAD, contrast=Contrast.T1, measured="whether slices overlap or leave gaps"),
)
