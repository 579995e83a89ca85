"""The manifest of chest-xray, and what it says of the network's answer; how an image becomes the network's input stands in `preparing`."""

from collections.abc import Iterator
from dataclasses import dataclass

from inference import codes
from inference.applications.chest_xray.explaining import AT_ONCE, CELLS, gradient_weighted, laid_back, occlusion
from inference.applications.chest_xray.preparing import SIDE, prepare
from inference.applications.occluding import OCCLUSION
from inference.applications.port import (
    Accepts,
    Application,
    EvaluationOutput,
    ExplanationOutput,
    Infer,
    Licences,
    ModelRef,
    Takes,
)
from inference.codes import Code
from inference.engines.port import SERVING
from inference.errors import InputError, quoted
from inference.findings import Evaluation, Explanation, Findings
from inference.imaging.judge.expects import BodyPart, Expects, View
from inference.imaging.judge.stated import may_be, may_show, position
from inference.imaging.subject import Image, Images
from inference.translatable import Translatable, say

MODEL = ModelRef(name="chest_xray_pneumonia", version=SERVING)
"""Made by `hilum train chest-xray`; what was exported last is served."""

GRAD_CAM = "Grad-CAM"

GRADE = say("Demonstration grade, research only, not for diagnosis: the network saw {side} × {side} pixels of each image.", side=str(SIDE))
TRAINED = say(
    "It was trained on frontal chest radiographs of children of one to five years (8-bit JPEG pictures from one hospital) and never "
    "validated on DICOM radiographs."
)
NOT_WHERE = say("It says whether, not where: no part of an image is pointed at.")


class NotFrontal(InputError):
    """None of the images is a frontal view, by what their headers say."""

    code = "HLM-3196"
    remedy = "Cancel the job, or narrow the route: the network has seen frontal views (PA, AP) alone."


class NotAChest(InputError):
    """The headers say of every frontal view that it shows another part of the body than the chest."""

    code = "HLM-3197"
    remedy = (
        "Cancel the job, and narrow the route (`when: {BodyPartExamined: CHEST}`): the network answers on any image, and has seen chests "
        "alone. Where the header is wrong, correct BodyPartExamined and send the images again."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model says of one image: a calibrated probability, and the band in which it does not decide.

    Both are of the model: the band was chosen on the validation cases of its own training, and lies in its file with the weights.
    """

    probability: float
    low: float
    high: float

    @property
    def value(self) -> Code:
        if self.probability < self.low:
            return codes.ABSENT
        return codes.PRESENT if self.probability >= self.high else codes.UNDETERMINED


def ask(image: Image, infer: Infer) -> Answer:
    """What the served model says of one image.

    Raises
    ------
    NotARadiograph
    """
    low, high, probability = infer(MODEL, {"INPUT__0": prepare(image)[None, None]})["OUTPUT__0"][0].tolist()
    return Answer(probability=probability, low=low, high=high)


def analyse(images: Images, infer: Infer) -> Findings:
    """Say of every frontal view whether it shows pneumonia.

    Raises
    ------
    NotFrontal, NotAChest, NotARadiograph
    """
    frontal = _frontal(images)
    if not frontal and (others := [image for image in images.images if may_be(View.FRONTAL_CHEST, image.view)]):
        parts = dict.fromkeys(part for image in others for part in image.body_parts)
        raise NotAChest(f"series {images.series_instance_uid} shows {', '.join(quoted(part) for part in parts)}, by its headers")
    if not frontal:
        raise NotFrontal(f"views of series {images.series_instance_uid}: {', '.join(image.view for image in images.images)}")
    answers = {index: ask(images.images[index], infer) for index in frontal}
    return Findings(
        evaluations=tuple(
            Evaluation(
                # the network saw a picture of the chest, and does not know where in it the lungs are
                finding=codes.PNEUMONIA,
                value=answer.value,
                finding_site=codes.CHEST,
                probability=answer.probability,
                images=(index,),
            )
            for index, answer in answers.items()
        ),
        remarks=(GRADE, TRAINED, NOT_WHERE, *_remarks(images, answers)),
    )


def explain(images: Images, infer: Infer) -> tuple[Explanation, ...]:
    """What moved the answer about each frontal view: occlusion sensitivity, and Grad-CAM where the model was exported with its cells.

    Raises
    ------
    NotARadiograph
    """
    return tuple(each for index in _frontal(images) for each in _explained(images.images[index], index, infer))


def _explained(image: Image, index: int, infer: Infer) -> Iterator[Explanation]:
    prepared = prepare(image)
    answer = infer(MODEL, {"INPUT__0": prepared[None, None]})
    if CELLS in answer:
        yield Explanation(
            label=GRAD_CAM,
            values=laid_back(gradient_weighted(answer[CELLS][0]), image.pixels.shape),
            image=index,
            finding=codes.PNEUMONIA,
            quantity=codes.GRADIENT_WEIGHTED_CLASS_ACTIVATION,
        )
    yield Explanation(
        label=OCCLUSION,
        values=laid_back(occlusion(prepared, MODEL, infer, AT_ONCE if CELLS in answer else 1), image.pixels.shape),
        image=index,
        finding=codes.PNEUMONIA,
        quantity=codes.SALIENCY,
    )


def _frontal(images: Images) -> list[int]:
    chest = View.FRONTAL_CHEST
    return [index for index, image in enumerate(images.images) if may_be(chest, image.view) and may_show(chest, image.body_parts)]


def _remarks(images: Images, answers: dict[int, Answer]) -> Iterator[Translatable]:
    for index, answer in answers.items():
        yield say(
            "Image {number} ({view}): the probability is calibrated; pneumonia is called absent below {low} %, present from {high} %, "
            "undetermined between.",
            number=images.called(index),
            view=position(images.images[index].view) or say("view not stated, taken for frontal"),
            low=f"{100 * answer.low:.1f}",
            high=f"{100 * answer.high:.1f}",
        )
    rest = len(images.images) - len(answers)
    if rest:
        of = str(len(images.images))
        yield say("{number} of {of} images are no frontal views of a chest and were not looked at.", number=str(rest), of=of)


APPLICATION = Application(
    name="chest-xray",
    version="2.0.0",
    title="Pneumonia on children's chest radiographs (demonstration)",
    noun="Pneumonia",
    series=5,
    accepts=Accepts(modality=("CR", "DX"), takes=Takes.IMAGES, years=(1, 5)),
    models=(MODEL,),
    outputs=(
        EvaluationOutput(finding=codes.PNEUMONIA),
        ExplanationOutput(label=GRAD_CAM, finding=codes.PNEUMONIA),
        ExplanationOutput(label=OCCLUSION, finding=codes.PNEUMONIA),
    ),
    grade="demonstration",
    licences=Licences(code="Apache-2.0", data="CC-BY-4.0"),
    analyse=analyse,
    expects=Expects(part=BodyPart.CHEST, view=View.FRONTAL_CHEST),
    explain=explain,
    triage_only=True,
)
