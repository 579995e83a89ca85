"""Assembles the instances of one series into one Volume, by geometry alone, or refuses with an InputError that names the instances.

What else an application may be given, and what the files of a job become for it, is said in `subjects`.
"""

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from inference.imaging import tags
from inference.imaging.acquired import acquired_on, kernel_of
from inference.imaging.age import years_of
from inference.imaging.alike import refuse_steps, refuse_unlike
from inference.imaging.bounds import refuse_size
from inference.imaging.decode import candidate_dtypes, modality_values
from inference.imaging.dimensions import split
from inference.imaging.errors import (
    DuplicatePosition,
    FourDimensional,
    IncompleteConcatenation,
    MissingAttribute,
    MixedFrameOfReference,
    MixedSeries,
    Mosaic,
    NoPixelData,
    NotAVolume,
    naming,
)
from inference.imaging.geometry import series_geometry
from inference.imaging.header import Instance, ReadAhead, SetAside, read_each
from inference.imaging.projection import laterality_of
from inference.imaging.slices import Slice, slices_of
from inference.imaging.sop_classes import IMAGES, class_name
from inference.imaging.stored import StoredFrames, Values
from inference.imaging.volume import SliceSource, Volume, space
from inference.stages import ASSEMBLE, DECODE, stage

MOSAICS = frozenset({"MOSAIC", "VFRAME"})
"""Values of ImageType by which vendors (Siemens, UIH) say that one image holds all slices beside each other."""

FRAME_OF_REFERENCE_NAMESPACE = uuid.UUID("6d2c1b0e-6c0b-5f7a-9a55-9d1a4cf2f0c1")


def assemble(files: Sequence[Path], *, threads: int = 2, ahead: ReadAhead | None = None) -> Volume:
    """Decode the images of one series and stack them along their common normal.

    Localizers (ImageType says LOCALIZER) are left out, and so is what holds no image. The order of the files, InstanceNumber and
    PatientPosition have no say.

    Parameters
    ----------
    files
        Part 10 files of one series: classic single-frame, enhanced multi-frame, or several enhanced instances.
    threads
        How many slices are read or decoded at a time.
    ahead
        What was read and decoded of the files before.

    Returns
    -------
    Volume
        Slices sorted along row direction x column direction. Where no instance names a frame of reference, one is derived from
        the Series Instance UID: the series is then a space of its own.

    Raises
    ------
    InputError
        One of `inference.imaging.errors`.
    """
    with stage(ASSEMBLE):
        images, _ = read_images(files, ahead)
        return volume_from(imaging(images), threads=threads)


def read_images(files: Sequence[Path], ahead: ReadAhead | None = None) -> tuple[list[Instance], list[SetAside]]:
    """The headers of the images among files, and what is set aside: objects beside them that hold none, and captures among slices.

    Raises
    ------
    NoPixelData
        None of them holds an image; or one that should has no pixels.
    InputError
        One cannot be read.
    """
    read = read_each(files, ahead)
    images = [each for each in read if isinstance(each, Instance)]
    others = [each for each in read if isinstance(each, SetAside)]
    if others and not images:
        kinds = ", ".join(kinds_of(others))
        raise NoPixelData(f"{len(others)} instances and no image among them ({kinds}): {naming(each.sop_instance_uid for each in others)}")
    return images, others


def kinds_of(others: Sequence[SetAside]) -> list[str]:
    """What they are, each kind once: by their SOP classes, by their modality where that class holds images."""
    return sorted({each.modality if each.sop_class_uid in IMAGES else class_name(each.sop_class_uid) for each in others})


def volume_from(instances: Sequence[Instance], *, threads: int = 2) -> Volume:
    """`assemble`, of instances that have been read already and are the images of one series (`imaging`)."""
    slices = placed(instances)
    try:
        return volume_of(slices, threads=threads)
    except (FourDimensional, DuplicatePosition) as crowded:
        found = split(slices)
        raise type(crowded)(f"{crowded}: {found.reason}" if found else str(crowded)) from crowded


def placed(instances: Sequence[Instance]) -> list[Slice]:
    """The slices of a series.

    Raises
    ------
    NotAVolume, Mosaic, MissingAttribute, MixedFrameOfReference
        Some images can never be slices: they are in colour, or masks, or have no place, or one in another space.
    """
    _greyscale(instances)
    _no_mosaics(instances)
    _all_placed(instances)
    _frame_of_reference(instances)
    return slices_of(instances)


def volume_of(slices: Sequence[Slice], *, threads: int = 2) -> Volume:
    """Slices of one series as one volume.

    Raises
    ------
    InputError
        Their places do not make one stack, or they are of several kinds.
    """
    geometry = series_geometry([each.plane for each in slices])
    stack = [slices[index] for index in geometry.order]
    refuse_unlike(stack)
    voxels = _voxels(stack, threads)
    refuse_steps(stack, voxels)
    first = slices[0].instance
    return Volume(
        voxels=voxels,
        affine=geometry.affine,
        steps=geometry.steps,
        sources=tuple(
            SliceSource(sop_instance_uid=each.instance.sop_instance_uid, sop_class_uid=each.instance.sop_class_uid, frame=each.plane.frame)
            for each in stack
        ),
        modality=next(filter(None, (each.instance.modality for each in slices)), ""),
        study_instance_uid=first.study_instance_uid,
        series_instance_uid=first.series_instance_uid,
        frame_of_reference_uid=_frame_of_reference([each.instance for each in slices]),
        patient_years=years_of(first.header),
        laterality=_side([each.instance for each in slices]),
        thickness_mm=max((each.plane.thickness for each in stack if each.plane.thickness), default=None),
        acquired_on=acquired_on([each.instance.header for each in stack]),
        kernel=kernel_of(stack),
    )


def _side(instances: Sequence[Instance]) -> str:
    stated = {laterality_of(each.header) for each in instances}
    return stated.pop() if stated in ({"L"}, {"R"}) else ""


def imaging(instances: Sequence[Instance]) -> list[Instance]:
    """The instances of one series that are no localizers.

    Raises
    ------
    NotAVolume, MixedSeries, IncompleteConcatenation
        There are none; they belong to several series; or to a multi-frame image that was cut up, of which some are missing.
    """
    if not instances:
        raise NotAVolume("the series holds no instances")
    series = {instance.series_instance_uid for instance in instances}
    if len(series) > 1:
        raise MixedSeries(f"{len(series)} series in one job: {naming(sorted(series))}")
    images = [instance for instance in instances if "LOCALIZER" not in instance.image_type]
    if not images:
        raise NotAVolume(f"the series holds localizers only: {naming(instance.sop_instance_uid for instance in instances)}")
    all_of_each_concatenation(images)
    return images


def all_of_each_concatenation(images: Sequence[Instance]) -> None:
    """Refuse images that were cut up of which some are missing.

    Raises
    ------
    IncompleteConcatenation
    """
    members: dict[str, list[Instance]] = {}
    for image in images:
        if concatenation := tags.text(image.header, tags.CONCATENATION_UID):
            members.setdefault(concatenation, []).append(image)
    for uid, present in members.items():
        totals = [tags.stated(image.header, tags.IN_CONCATENATION_TOTAL, 1) for image in present]
        expected = max((int(total[0]) for total in totals if total), default=0)
        if len(present) < expected:
            raise IncompleteConcatenation(
                f"{len(present)} of the {expected} instances of concatenation {uid} are here: {naming(i.sop_instance_uid for i in present)}"
            )


def _greyscale(images: Sequence[Instance]) -> None:
    reasons: dict[str, Callable[[Instance], bool]] = {
        "are in colour": lambda image: image.pixels.samples != 1 or image.pixels.photometric == "PALETTE COLOR",
        "hold one bit a pixel (masks, not images)": lambda image: image.pixels.bits_allocated == 1,
        "map their values through a modality lookup table": lambda image: image.lookup_table,
    }
    for reason, holds in reasons.items():
        wrong = [image.sop_instance_uid for image in images if holds(image)]
        if wrong:
            raise NotAVolume(f"{len(wrong)} of {len(images)} {_kind(images)} instances {reason}: {naming(wrong)}")


def _no_mosaics(images: Sequence[Instance]) -> None:
    wrong = [image.sop_instance_uid for image in images if not MOSAICS.isdisjoint(image.image_type)]
    if wrong:
        raise Mosaic(f"{len(wrong)} of {len(images)} {_kind(images)} instances are mosaics of slices: {naming(wrong)}")


def _all_placed(images: Sequence[Instance]) -> None:
    """Every frame has a position and an orientation, or the series is no volume."""
    for image in images:
        image.refuse_half_a_place()
    placeless = [image for image in images if any(plane is None for plane in image.planes)]
    if not placeless:
        return
    names = naming(image.sop_instance_uid for image in placeless)
    if len(placeless) == len(images):
        frames = sum(image.pixels.frames for image in images)
        raise NotAVolume(f"{_kind(images)} images without position and orientation ({frames} frames): {names}")
    raise MissingAttribute(f"ImagePositionPatient and ImageOrientationPatient are absent in {len(placeless)} of {len(images)}: {names}")


def _kind(images: Sequence[Instance]) -> str:
    return "/".join(sorted({image.modality for image in images if image.modality})) or "(modality unknown)"


def _frame_of_reference(images: Sequence[Instance]) -> str:
    named = one_frame_of_reference([(image.sop_instance_uid, image.frame_of_reference_uid) for image in images])
    return named or f"2.25.{uuid.uuid5(FRAME_OF_REFERENCE_NAMESPACE, images[0].series_instance_uid).int}"


def one_frame_of_reference(images: Sequence[tuple[str, str]]) -> str:
    """The frame of reference that images (SOP Instance UID, FrameOfReferenceUID) all name; "" where none names one.

    Raises
    ------
    MixedFrameOfReference
        They name several, or some name none.
    """
    named = sorted({frame for _, frame in images})
    if len(named) == 1:
        return named[0]
    groups = [sorted({uid for uid, frame in images if frame == each}) for each in named]
    smallest = min(groups, key=len)
    without = ", one of them unnamed" if "" in named else ""
    raise MixedFrameOfReference(f"{len(named)} frames of reference in one series{without}; apart from the others: {naming(smallest)}")


def _voxels(stack: Sequence[Slice], threads: int) -> Values:
    shape = (len(stack), stack[0].plane.rows, stack[0].plane.columns)
    with stage(DECODE):
        for dtype in candidate_dtypes([each.instance for each in stack]):
            refuse_size(shape, dtype.itemsize, stack[0].plane.name)
            voxels = space(shape, dtype)
            if _fill(voxels, stack, threads):
                return voxels
    raise AssertionError("float32 takes every value")


def _fill(voxels: Values, stack: Sequence[Slice], threads: int) -> bool:
    """Decode every slice into its place; False as soon as a value does not fit the dtype."""
    of_instance: dict[str, list[tuple[int, Slice]]] = {}
    for z, each in enumerate(stack):
        of_instance.setdefault(each.instance.sop_instance_uid, []).append((z, each))
    with ThreadPoolExecutor(max_workers=max(threads, 1), thread_name_prefix="decode") as pool:
        tasks: list[Future[bool]] = []
        for members in of_instance.values():
            if len(members) == 1:
                z, each = members[0]
                tasks.append(pool.submit(_decode_slice, each, voxels[z]))
            else:
                # one open instance for its many frames: compressed frames are told apart once
                frames = StoredFrames(members[0][1].instance)
                tasks.extend(pool.submit(modality_values, frames, each.frame, voxels[z]) for z, each in members)
        try:
            return all(task.result() for task in tasks)
        finally:
            pool.shutdown(cancel_futures=True)


def _decode_slice(each: Slice, out: Values) -> bool:
    return modality_values(StoredFrames(each.instance), each.frame, out)
