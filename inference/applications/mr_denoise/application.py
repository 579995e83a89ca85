"""The manifest of mr-denoise, and what it says of the image that comes out; how the network sees a head stands in `preparing`."""

import numpy as np
from pydicom.uid import MRImageStorage

from inference import codes
from inference.applications.mr_denoise.preparing import HALO, Image, prepare
from inference.applications.offered import refuse_not_offered
from inference.applications.port import Accepts, Application, DerivedOutput, Infer, ModelRef
from inference.engines.port import SERVING
from inference.findings import DerivedImage, Findings
from inference.imaging.judge.expects import BodyPart, Expects
from inference.imaging.volume import Volume
from inference.translatable import say

MODEL = ModelRef(name="mr_head_denoising", version=SERVING)
"""Made by `hilum train restore`."""
LABEL = "denoised, research"


def analyse(volume: Volume, infer: Infer) -> Findings:
    """Take the noise out of a head; the image stays on its grid and in its units.

    Raises
    ------
    NotMagnitude, OtherNoise, LevelNotOffered
    """
    prepared = prepare(volume)
    share = f"{100 * prepared.share:.1f}"
    refuse_not_offered(infer, MODEL, prepared.share, f"series {volume.series_instance_uid} with noise of {share} %")

    def network(seen: Image) -> Image:
        answer: Image = infer(MODEL, {"INPUT__0": seen[None, None]})["OUTPUT__0"][0, 0]
        return answer[:, HALO:-HALO, HALO:-HALO]

    restored = np.maximum(prepared.restored(network), 0)
    return Findings(
        derived=(DerivedImage(label=LABEL, voxels=volume.held_alike(restored), derivation=codes.SMOOTHING),),
        remarks=(
            say(
                "Noise, estimated at {share} % of the median in the head, was reduced by a neural network.",
                share=share,
            ),
            say("Small or faint structures may be lost or altered: read the original images, never these alone."),
        ),
    )


APPLICATION = Application(
    name="mr-denoise",
    version="1.0.0",
    title="Noise reduction on magnitude MR of the head",
    noun="Head MR",
    series=6,
    accepts=Accepts(
        modality=("MR",),
        min_slices=8,
        max_spacing_mm=7.0,
        min_extent_mm=30,
        remark_spacing_mm=7.0,
        # of enhanced ones the network knows none
        sop_classes=(MRImageStorage,),
    ),
    models=(MODEL,),
    outputs=(DerivedOutput(label=LABEL, derivation=codes.SMOOTHING),),
    analyse=analyse,
    expects=Expects(part=BodyPart.HEAD, measured="how noisy the images are"),
)
