"""application.json: an application without code as serving needs it, in hilum's own words, and the `Application` that it is.

A bundle, an app.yaml and a folder of nnU-Net become one at their import (docs/adr/ADR-0072-models-described.md).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.applications.bundle.answering import (
    AnswerChannel,
    Decides,
    NumberChannel,
    Samples,
    colours,
    picture,
    single_image,
    stated,
)
from inference.applications.bundle.centres import ImageDetector, boxes_in, findings_of, image_detector_from, located
from inference.applications.bundle.detecting import Detector, detected, detector_from
from inference.applications.bundle.errors import BrokenManifest
from inference.applications.bundle.expecting import expects_from, tupled
from inference.applications.bundle.explaining import explanations, problem
from inference.applications.bundle.finish import FINISHINGS, Finishing, finished, masks_of, order_problem, per_voxel, voxelwise
from inference.applications.bundle.inferer import INFERERS, Inferer, SlidingWindow
from inference.applications.bundle.nnunet import preparing
from inference.applications.bundle.nnunet.cascade import Coarser, appended
from inference.applications.bundle.nnunet.patches import Patches
from inference.applications.bundle.nnunet.returning import returned, slab_labels
from inference.applications.bundle.nouns import made_of, named, said_of
from inference.applications.bundle.parts import accepts_from, answer_from, before_from, before_said, measure_from, number_from
from inference.applications.bundle.steps import STEPS, ImageOnGrid, Transform, source_image
from inference.applications.bundle.structures import Structure, not_found, segment_of, structure_from
from inference.applications.bundle.uncertain import entropies, told
from inference.applications.bundle.views import in_roles, refuse_even, together
from inference.applications.entropy import ENTROPY
from inference.applications.manifest import check_manifest
from inference.applications.measured import measured_outputs
from inference.applications.port import (
    Accepts,
    Application,
    EvaluationOutput,
    ExplanationOutput,
    Infer,
    Licences,
    MeasurementOutput,
    ModelRef,
    Role,
    SegmentOutput,
    Takes,
    UncertaintyOutput,
)
from inference.engines.calling import refuse_not_finite
from inference.engines.errors import WrongTensors
from inference.findings import Explanation, Findings, Location, Measurement, Uncertainty
from inference.imaging.judge.expects import Expects
from inference.imaging.measures.measure import Measure
from inference.imaging.subject import Image, Images, VolumeSet
from inference.imaging.volume import Volume
from inference.translatable import Translatable, say

FILE = "application.json"
FORM = 1
MIN_SLICES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleManifest:
    """All of application.json.

    Attributes
    ----------
    name, version, title
        Of the application; `version` names the bundle's version and the model's.
    model
        The version beside which the file lies.
    channels
        Of the network's output, for the check of what comes back.
    prepare, inferer, finish
        From series to network and back, in the bundle's order.
    expects
        What the judge goes by; importing writes none, for nothing is invented: borders alone are looked at until somebody declares more.
    series
        `Application.series`; importing writes none.
    answers
        Of a network that classifies, which has no structures: it sees the whole volume once, or each single image, and `finish` is its
        activation alone.
    decides
        What makes statements of the probabilities.
    explained
        Methods that tell what moved an answer about a single image, and passed the gate of this very model's training.
    batch
        How many single images one call of the network takes; more than one where `explained` names a method, which asks of many.
    samples
        What the network sees of a single image.
    numbers
        Of a network that estimates numbers, which has neither: it sees what one that classifies sees, and `finish` is empty.
    detector
        Of a network that finds boxes, which has neither, either: `channels` are its classes, `finish` is empty, `output` its first one.
    image_detector
        Of a network that finds boxes on single images, which has none of these either: `channels` are those of its output.
    volumes
        Whether the volume of each structure is measured.
    measures
        What is measured of the structures besides.
    roles
        Of several series that are the network's channels, in their order; the first is the reference. Of single images the views of an
        examination, as headers call them ("L MLO"). () where one image is.
    optional
        Those of `roles` without which it was trained, too: where their series is not there, the channel is 0 everywhere.
    grade
        "research", or "demonstration", of which the reader is told.
    before
        The network whose labels are further channels of this one's input; None where it sees images alone. Its tensors, channels and
        decision are the same.
    notes
        What serving does otherwise than the bundle says, and why; for the model card.
    """

    name: str
    version: str
    title: str
    accepts: Accepts
    model: ModelRef
    input: str
    output: str
    channels: int
    prepare: tuple[Transform, ...]
    inferer: Inferer
    finish: tuple[Finishing, ...]
    structures: tuple[Structure, ...]
    notes: tuple[str, ...] = ()
    expects: Expects = field(default_factory=Expects)
    series: int = 0
    answers: tuple[AnswerChannel, ...] = ()
    decides: Decides = Decides.LIMITS
    explained: tuple[str, ...] = ()
    batch: int = 1
    samples: Samples = Samples.GREY
    numbers: tuple[NumberChannel, ...] = ()
    detector: Detector | None = None
    image_detector: ImageDetector | None = None
    volumes: bool = True
    measures: tuple[Measure, ...] = ()
    roles: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    noun: str = ""
    licences: Licences = field(default_factory=Licences)
    grade: str = "research"
    before: Coarser | None = None

    @property
    def marks_nothing(self) -> bool:
        """Whether its network says something of an image, and marks nothing in it voxel by voxel."""
        return bool(self.answers or self.numbers)


_STEPS = {**STEPS, **preparing.STEPS}
_INFERERS = {**INFERERS, Patches.__name__: Patches}
_OPTIONAL = ("series", "volumes", "roles", "optional", "noun", "grade", "decides", "samples", "explained", "batch")
"""Of `BundleManifest`: what stands in the file where it says something."""
DEMONSTRATION = say("Demonstration grade, research only, not for diagnosis.")


Seen: TypeAlias = Volume | VolumeSet | Image | Mapping[str, Image]
"""What a network is asked about at once; of views the image of each role."""
Measured: TypeAlias = Callable[[Sequence[Structure]], tuple[Measure, ...]]
"""What is to be measured of the structures that a model turns out to have."""


def nothing(_: Sequence[Structure]) -> tuple[Measure, ...]:
    """No measurements but volumes."""
    return ()


def to_text(manifest: BundleManifest) -> bytes:
    """application.json."""
    said = {
        "form": FORM,
        **{name: getattr(manifest, name) for name in ("name", "version", "title", "input", "output", "channels", "notes")},
        "accepts": said_of(manifest.accepts),
        "model": asdict(manifest.model),
        "prepare": [named(step) for step in manifest.prepare],
        "inferer": named(manifest.inferer),
        "finish": [named(finishing) for finishing in manifest.finish],
        "structures": [asdict(structure) for structure in manifest.structures],
        **{name: value for name, value in said_of(manifest).items() if name in _OPTIONAL},
        **({"answers": [asdict(answer) for answer in manifest.answers]} if manifest.answers else {}),
        **({"numbers": [asdict(number) for number in manifest.numbers]} if manifest.numbers else {}),
        **({} if manifest.detector is None else {"detector": asdict(manifest.detector)}),
        **({} if manifest.image_detector is None else {"image_detector": asdict(manifest.image_detector)}),
        **({"measures": [named(measure) for measure in manifest.measures]} if manifest.measures else {}),
        **({} if manifest.licences == Licences() else {"licences": asdict(manifest.licences)}),
        **({} if manifest.expects == Expects() else {"expects": asdict(manifest.expects)}),
        **({} if manifest.before is None else {"before": before_said(manifest.before)}),
    }
    return (json.dumps(said, indent=2, ensure_ascii=False) + "\n").encode()


def checked_text(manifest: BundleManifest) -> bytes:
    """application.json of what is imported.

    Raises
    ------
    BrokenApplication
        No node would load it: a code is too long, or a measure is of no image that it takes.
    """
    check_manifest(application_of(manifest), manifest.name, FILE)
    return to_text(manifest)


def from_text(content: bytes, where: str) -> BundleManifest:
    """`to_text` the other way.

    Raises
    ------
    BrokenManifest
    """
    try:
        said = json.loads(content)
        if said.pop("form") != FORM:
            raise ValueError(f"it is not of form {FORM}")
        finish = tuple(made_of(FINISHINGS, each) for each in said.pop("finish"))
        answers = tuple(answer_from(each) for each in said.pop("answers", ()))
        numbers = tuple(number_from(each) for each in said.pop("numbers", ()))
        detector = detector_from(given) if (given := said.pop("detector", None)) else None
        of_images = image_detector_from(given) if (given := said.pop("image_detector", None)) else None
        wrong = "" if answers or numbers or detector or of_images else order_problem(finish)
        accepts = accepts_from(said.pop("accepts"))
        if not {*said.get("optional", ())} <= {*said.get("roles", ())[1:]}:
            raise ValueError("what is optional is one of its roles, and not the first")
        if accepts.takes is Takes.IMAGES and not (answers or numbers or of_images):
            wrong = "an application without code marks no masks on single images, and boxes by an image_detector alone"
        if of_images and (answers or numbers or detector or finish or accepts.takes is not Takes.IMAGES):
            wrong = "an image_detector finds boxes on single images, and nothing else"
        wrong = wrong or problem(tupled(said.get("explained", [])), answers, finish, accepts.takes is Takes.IMAGES, said.get("batch", 1))
        if wrong:
            raise ValueError(wrong)
        return BundleManifest(
            model=ModelRef(**said.pop("model")),
            prepare=tuple(made_of(_STEPS, each) for each in said.pop("prepare")),
            inferer=made_of(_INFERERS, said.pop("inferer")),
            finish=finish,
            structures=tuple(structure_from(each) for each in said.pop("structures")),
            expects=expects_from(said.pop("expects", {})),
            accepts=accepts,
            answers=answers,
            decides=Decides(said.pop("decides", Decides.LIMITS)),
            samples=Samples(said.pop("samples", Samples.GREY)),
            numbers=numbers,
            detector=detector,
            image_detector=of_images,
            measures=tuple(measure_from(each) for each in said.pop("measures", ())),
            licences=Licences(**said.pop("licences", {})),
            before=before_from(said.pop("before", None), _STEPS, _INFERERS),
            **{name: tupled(value) for name, value in said.items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as broken:
        raise BrokenManifest(f"{where}: {broken!r}") from broken


def application(file: Path) -> Application:
    """The application of an application.json.

    Raises
    ------
    BrokenManifest
    """
    return application_of(from_text(file.read_bytes(), str(file)))


def application_of(manifest: BundleManifest) -> Application:
    """The application that a manifest describes."""

    def analyse(subject: Volume | VolumeSet | Images, infer: Infer) -> Findings:
        if isinstance(subject, Images) and manifest.image_detector is not None:
            of_images = manifest.image_detector
            seen = [boxes_of_image(manifest, of_images, image, index, infer) for index, image in enumerate(subject.images)]
            found = findings_of(of_images, seen)
        elif isinstance(subject, Images):
            # of each image by itself: which of several a reader means is not known here
            those, remarks = _looked_at(manifest, subject)
            each = [_answered(manifest, one, infer, places) for one, places in those]
            found = Findings(
                remarks=remarks,
                evaluations=tuple(one for said in each for one in said.evaluations),
                # a number of the only image is one of all of them, and compared with that of an earlier study
                measurements=tuple(one if len(each) > 1 else replace(one, images=()) for said in each for one in said.measurements),
            )
        elif manifest.detector is not None:
            found = _detected(manifest, manifest.detector, subject, infer)
        else:
            found = _answered(manifest, subject, infer) if manifest.marks_nothing else _findings(manifest, subject, infer)
        return replace(found, remarks=(DEMONSTRATION, *found.remarks)) if manifest.grade == "demonstration" else found

    def explain(images: Images, infer: Infer) -> tuple[Explanation, ...]:
        ask = partial(_called, manifest, infer)
        each = ((index, prepared(manifest, image)) for index, image in enumerate(images.images))
        return tuple(
            one for index, seen in each for one in explanations(seen, index, manifest.answers, manifest.finish, ask, manifest.batch)
        )

    def unsure(subject: Volume | VolumeSet, infer: Infer) -> tuple[Uncertainty, ...]:
        seen, names = prepared(manifest, subject), (manifest.input, manifest.output)
        values = entropies(seen, manifest.finish, partial(manifest.inferer, infer, manifest.model, seen.values, *names))
        return (Uncertainty(label=ENTROPY, values=values, quantity=codes.NORMALISED_ENTROPY),)

    of_voxels = bool(manifest.structures) and manifest.before is None and told(manifest.finish, manifest.inferer, manifest.channels)
    return Application(
        name=manifest.name,
        version=manifest.version,
        title=manifest.title,
        accepts=manifest.accepts,
        models=(manifest.model,) if manifest.before is None else (manifest.model, manifest.before.model),
        outputs=(
            *(SegmentOutput(label=structure.label, type=structure.type) for structure in manifest.structures),
            *([MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE)] if manifest.structures and manifest.volumes else []),
            *measured_outputs(manifest.measures, {one.label: one.type for one in manifest.structures}, manifest.accepts.modality),
            *(EvaluationOutput(finding=answer.finding) for answer in manifest.answers),
            *(ExplanationOutput(label=method, finding=answer.finding) for method in manifest.explained for answer in manifest.answers),
            *([UncertaintyOutput(label=ENTROPY)] if of_voxels else []),
            *(MeasurementOutput(name=number.name, unit=number.unit) for number in manifest.numbers),
            *(manifest.detector.declared if manifest.detector is not None else ()),
            *(manifest.image_detector.declared if manifest.image_detector is not None else ()),
        ),
        noun=manifest.noun,
        measures=manifest.measures,
        triage_only=bool(manifest.answers),
        analyse=analyse,
        expects=manifest.expects,
        series=manifest.series,
        grade=manifest.grade,
        licences=manifest.licences,
        # of single images each role is a view among all images of the study, and no series
        roles=()
        if manifest.accepts.takes is Takes.IMAGES
        else tuple(Role(name=name, optional=name in manifest.optional) for name in manifest.roles),
        explain=explain if manifest.explained else None,
        unsure=unsure if of_voxels else None,
    )


def _looked_at(manifest: BundleManifest, images: Images) -> tuple[Sequence[tuple[Seen, tuple[int, ...]]], tuple[Translatable, ...]]:
    """Each image, or the views that are looked at together, with their places."""
    if not manifest.roles:
        return [(image, (place,)) for place, image in enumerate(images.images)], ()
    found, remarks = together(manifest.roles, manifest.optional, images)
    return [(in_roles(places, images), tuple(sorted(places.values()))) for places in found], remarks


def prepared(manifest: BundleManifest, subject: Seen, marked: NDArray[Any] | None = None) -> ImageOnGrid:
    """What the network sees of a volume (Z, Y, X), of a single image (1, Y, X), or of roles (C, Z, Y, X) on the reference's grid.

    Of a single image of which it sees several samples: (3, 1, Y, X); of views by their roles (C, 1, Y, X), on the grid of one of them.

    `marked` are the labels (Z, Y, X) of the network before it, on the grid of the volume or the reference: further channels.

    Raises
    ------
    EvenRole
    """
    if marked is not None:
        assert manifest.before is not None, "it marked them"
        assert isinstance(subject, Volume | VolumeSet), "on others nothing is marked"
        volumes = [subject[role] for role in manifest.roles] if isinstance(subject, VolumeSet) else [subject]
        images, inferer = [source_image(one) for one in volumes], manifest.inferer

        def room(shape: tuple[int, ...]) -> None:
            if isinstance(inferer, Patches):
                inferer.demand_memory(shape, sum(one.voxels.nbytes for one in volumes))

        return appended(manifest.prepare, images, marked, range(1, manifest.channels), manifest.before, room)
    if isinstance(subject, VolumeSet):
        there = [role for role in manifest.roles if role in subject]
        refuse_even({role: subject[role].voxels for role in there})
        images = preparing.together(manifest.prepare, [source_image(subject[role]) for role in there])
        values = dict(zip(there, (image.values for image in images), strict=True))
        refuse_even(values)
        absent = np.zeros_like(images[0].values)
        return replace(images[0], values=np.stack([values.get(role, absent) for role in manifest.roles]))
    if isinstance(subject, Mapping):
        views = {role: prepared(replace(manifest, roles=()), image) for role, image in subject.items()}
        refuse_even({role: view.values for role, view in views.items()})
        first = next(iter(views.values()))
        return replace(first, values=np.stack([views[role].values if role in views else first.values * 0 for role in manifest.roles]))
    if isinstance(subject, Image) and manifest.samples is Samples.RGB:
        images = preparing.together(manifest.prepare, colours(subject))
        return replace(images[0], values=np.stack([image.values for image in images]))
    if isinstance(subject, Image):
        image = single_image(subject) if manifest.samples is Samples.GREY else picture(subject)
    else:
        image = source_image(subject)
    for step in manifest.prepare:
        image = step.apply(image)
    return replace(image, values=np.stack([image.values] * manifest.samples.channels)) if manifest.samples is Samples.COPIED else image


def masks(manifest: BundleManifest, subject: Volume | VolumeSet, infer: Infer) -> NDArray[Any]:
    """Labels (Z, Y, X), or masks (C, Z, Y, X), on the grid of the volume, or of the reference.

    Raises
    ------
    WrongTensors
        The network gives another number of channels than the bundle says.
    """
    marked = None
    if (before := manifest.before) is not None:
        first = replace(manifest, model=before.model, prepare=before.prepare, inferer=before.inferer, before=None)
        marked = masks(first, subject, infer)
    image = prepared(manifest, subject, marked)
    inferer = manifest.inferer
    if isinstance(inferer, Patches) and (made := slab_labels(manifest.finish, image, manifest.channels)) is not None:
        held = sum(one.voxels.nbytes for one in subject.volumes.values()) if isinstance(subject, VolumeSet) else subject.voxels.nbytes
        inferer.labels(infer, manifest.model, image.values, manifest.input, manifest.output, made, held)
        return finished(returned(made.result(), manifest.finish[1], image), manifest.finish[2:], image)
    at_once = per_voxel(manifest.finish)

    def finish(values: NDArray[np.float32]) -> NDArray[Any]:
        if len(values) != manifest.channels:
            raise WrongTensors(f'model "{manifest.model.name}" gives {len(values)} channels, its bundle says {manifest.channels}')
        return voxelwise(values, manifest.finish[:at_once])

    values = inferer(infer, manifest.model, image.values, manifest.input, manifest.output, finish)
    return finished(values, manifest.finish[at_once:], image)


def _findings(manifest: BundleManifest, subject: Volume | VolumeSet, infer: Infer) -> Findings:
    found = masks(manifest, subject, infer)
    volume = subject.reference if isinstance(subject, VolumeSet) else subject
    of_labels = masks_of(found, [one.channel for one in manifest.structures]) if found.ndim == volume.voxels.ndim else None
    segments, measurements, absent = [], [], []
    for structure in manifest.structures:
        mask = found[structure.channel] if of_labels is None else of_labels[structure.channel]
        if not mask.any():
            absent.append(structure)
            continue
        segments.append(segment_of(structure, mask))
        if not manifest.volumes:
            continue
        volume_cm3 = int(mask.sum()) * volume.voxel_volume_mm3 / 1000
        measurements.append(Measurement(name=codes.VOLUME, value=volume_cm3, unit=codes.CUBIC_CENTIMETRE, segment=structure.label))
    if not segments and manifest.volumes:
        measurements.append(Measurement(name=codes.VOLUME, value=0.0, unit=codes.CUBIC_CENTIMETRE))
    return Findings(segments=tuple(segments), measurements=tuple(measurements), remarks=not_found(absent))


def _detected(manifest: BundleManifest, detector: Detector, subject: Volume | VolumeSet, infer: Infer) -> Findings:
    assert isinstance(subject, Volume), "a detector has one channel"
    assert isinstance(manifest.inferer, SlidingWindow), "and windows"
    return detected(detector, manifest.model, manifest.inferer, manifest.input, subject, prepared(manifest, subject), infer)


def boxes_of_image(manifest: BundleManifest, detector: ImageDetector, image: Image, index: int, infer: Infer) -> list[Location]:
    """All boxes on one single image, its number among those of its series being `index`, that are as likely as `detector.told`."""
    seen = prepared(manifest, image)
    values = seen.values.reshape(-1, *seen.values.shape[-2:])
    places = tuple(-(-side // detector.stride) for side in values.shape[1:])
    maps = _channels(manifest, infer, values, places)
    return located(detector, boxes_in(detector, maps), seen, image.pixels.shape[:2], index)


def _answered(manifest: BundleManifest, subject: Seen, infer: Infer, images: tuple[int, ...] = ()) -> Findings:
    """What a network that classifies or estimates says of the whole volume or of several, or of single images: then it has two axes."""
    seen = prepared(manifest, subject).values
    # a single image is one voxel thick, along an axis that its network does not have
    seen = seen.reshape(-1, *seen.shape[-3 if isinstance(subject, Volume | VolumeSet) else -2 :])
    said = voxelwise(_channels(manifest, infer, seen), manifest.finish)
    return Findings(
        evaluations=stated(manifest.answers, manifest.decides, said, images),
        measurements=tuple(number.of(float(said[number.channel]), images) for number in manifest.numbers),
    )


def _channels(manifest: BundleManifest, infer: Infer, seen: NDArray[np.float32], places: tuple[int, ...] = ()) -> NDArray[Any]:
    """What the network gives for an image or volume (C, …): (K,), or (K, …) at its `places`."""
    channels: NDArray[Any] = _called(manifest, infer, seen[None], places)[0]
    return channels


def _called(manifest: BundleManifest, infer: Infer, seen: NDArray[np.float32], places: tuple[int, ...] = ()) -> NDArray[Any]:
    """(N, K, …) at the network's `places` for images or volumes (N, C, …)."""
    values = infer(manifest.model, {manifest.input: seen})[manifest.output]
    if values.shape != (expected := (len(seen), manifest.channels, *places)) or values.dtype.kind != "f":
        raise WrongTensors(f'model "{manifest.model.name}" gives {values.dtype} of shape {values.shape} for an image, not {expected}')
    refuse_not_finite(manifest.model, values)
    return values
