"""Whatever the masks are, each voxel comes back: frames of no whole bytes, sparse and dense masks, many segments, any order of arrival."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from inference.findings import Findings, Segment
from inference.imaging.assemble import assemble
from node.domain.errors import ResultError
from node.domain.profile import Form, Kind
from node.results.check import check
from node.results.identity import encoded, identify
from node.results.port import Encoded, Encoding, MaskDiffers
from node.results.segmentation.frames import numbered, overlap
from node.results.segmentation.make import segmentation
from node.results.sources import read_sources
from tests.results import made

LABEL_MAPS = (Form.LABELMAP, Form.LABELMAP_RLE, Form.LABELMAP_JPEG_LS, Form.LABELMAP_DEFLATE)

LEAST_OF_JPEG_LS = 64
"""Pixels of a frame: the encoder gives no room to the header of smaller ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is encoded: a series in some order, masks, and the form."""

    orientation: str
    shape: tuple[int, int, int]
    order: tuple[int, ...]
    masks: tuple[NDArray[np.bool_], ...]
    form: Form


@st.composite
def cases(draw: st.DrawFn, *, apart: bool) -> Case:
    """Masks by chance from a density and a seed; `apart` has them share no voxel, as label maps demand."""
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 17)), draw(st.sampled_from([1, 3, 7, 8, 11, 16, 24])))
    count = draw(st.integers(1, 20))
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = draw(st.sampled_from([0.001, 0.05, 0.5, 0.97, 1.0]))
    if apart:
        labels = np.where(chance.random(shape) < density, chance.integers(1, count + 1, shape), 0)
        masks = [labels == number for number in range(1, count + 1)]
    else:
        masks = [chance.random(shape) < density * chance.random() for _ in range(count)]
    if not any(mask.any() for mask in masks):
        masks[0] = np.ones(shape, dtype=np.bool_)
        masks[1:] = [np.zeros(shape, dtype=np.bool_) for _ in masks[1:]]
    if draw(st.booleans()):
        # as an application may hand them over: views that run backwards, or lie otherwise in memory
        masks = [np.asfortranarray(mask) if number % 2 else mask[::-1][::-1] for number, mask in enumerate(masks)]
    form = draw(st.sampled_from(LABEL_MAPS if apart else (Form.BINARY, Form.BINARY_DEFLATE, Form.FRACTIONAL)))
    if form is Form.LABELMAP_JPEG_LS and shape[1] * shape[2] < LEAST_OF_JPEG_LS:
        form = Form.LABELMAP_RLE
    return Case(
        orientation=draw(st.sampled_from(sorted(made.ORIENTATIONS))),
        shape=shape,
        order=tuple(draw(st.permutations(range(shape[0])))),
        masks=tuple(masks),
        form=form,
    )


@contextmanager
def encoding_of(case: Case) -> Iterator[tuple[Encoding, Encoded]]:
    """The segmentation alone, in the form of the case."""
    with tempfile.TemporaryDirectory() as folder:
        files = made.series(Path(folder), made.ORIENTATIONS[case.orientation], case.shape)
        shuffled = [files[z] for z in case.order]
        segments = tuple(made.segment(f"segment {number}", mask) for number, mask in enumerate(case.masks))
        encoding = made.encoding(shuffled, Findings(segments=segments), volume=assemble(shuffled))
        sources = read_sources(encoding)
        identity = identify(encoding, sources, Kind.SEG, "segmentation")
        seg = segmentation(encoding, sources, numbered(encoding.findings), case.form, identity)
        yield encoding, encoded(Kind.SEG, seg.dataset, identity, case.form, pixels=seg.pixels, syntax=seg.syntax)


def read_back(one: Encoded, encoding: Encoding) -> dict[int, NDArray[np.bool_]]:
    """Masks by segment number on the volume's grid, by pydicom's own reader of pixels; slices found by the instance referred to."""
    seg = pydicom.dcmread(BytesIO(one.data))
    places = {source.sop_instance_uid: z for z, source in enumerate(encoding.volume.sources)}
    numbers = [int(item.SegmentNumber) for item in seg.SegmentSequence if item.SegmentNumber]
    found = {number: np.zeros(encoding.volume.voxels.shape, dtype=np.bool_) for number in numbers}
    if one.form == Form.LABELMAP_RLE:
        # the slow decoder, in Python: the check uses another
        seg.pixel_array_options(decoding_plugin="pydicom")
    pixels = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    shared = seg.SharedFunctionalGroupsSequence[0].get("SegmentIdentificationSequence")
    for plane, groups in zip(pixels, seg.PerFrameFunctionalGroupsSequence, strict=True):
        z = places[groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        if one.form in LABEL_MAPS:
            for number in numbers:
                found[number][z] = plane == number
        else:
            own = groups.get("SegmentIdentificationSequence") or shared
            found[int(own[0].ReferencedSegmentNumber)][z] = plane.astype(np.bool_)
    return found


def same(case: Case) -> None:
    with encoding_of(case) as (encoding, one):
        meant = [mask for mask in case.masks if mask.any()]
        found = read_back(one, encoding)
        assert sorted(found) == list(range(1, len(meant) + 1))
        for number, mask in enumerate(meant, 1):
            assert np.array_equal(found[number], mask)
        said = pydicom.dcmread(BytesIO(one.data)).SegmentsOverlap
        assert said == ("YES" if np.sum(meant, axis=0, dtype=int).max() > 1 else "NO")
        check([one], encoding, read_sources(encoding))


@settings(max_examples=60, deadline=None)
@given(cases(apart=False))
@pytest.mark.slow
def test_binary_masks_come_back(case: Case) -> None:
    """Overlapping or not; SegmentsOverlap is counted here, voxel by voxel; the node's own check agrees."""
    same(case)


@settings(max_examples=60, deadline=None)
@given(cases(apart=True))
@pytest.mark.slow
def test_label_maps_come_back(case: Case) -> None:
    """Native, RLE, JPEG-LS and deflated, down to frames of one pixel."""
    same(case)


@settings(max_examples=25, deadline=None)
@given(cases(apart=True), st.data())
@pytest.mark.slow
def test_a_single_wrong_voxel_may_not_leave(case: Case, data: st.DataObject) -> None:
    """The check is sharp: the object is right, and one voxel of what was found is turned over before it is compared."""
    with encoding_of(case) as (encoding, one):
        spoilt = [mask.copy() for mask in case.masks]
        where = tuple(data.draw(st.integers(0, side - 1)) for side in case.shape)
        which = data.draw(st.integers(0, len(spoilt) - 1))
        spoilt[which][where] ^= True
        segments = [replace(segment, mask=mask) for segment, mask in zip(encoding.findings.segments, spoilt, strict=True)]
        with pytest.raises(ResultError):
            check([one], replace(encoding, findings=Findings(segments=tuple(segments))), read_sources(encoding))


@settings(max_examples=40, deadline=None)
@given(cases(apart=False))
def test_overlap_is_what_counting_says(case: Case) -> None:
    """Slice by slice and row by row, against the sum of all masks."""
    segments: tuple[Segment, ...] = tuple(made.segment(f"segment {number}", mask) for number, mask in enumerate(case.masks))
    assert overlap(numbered(Findings(segments=segments))) == bool(np.sum(case.masks, axis=0, dtype=int).max() > 1)


@settings(max_examples=25, deadline=None)
@given(cases(apart=True))
@pytest.mark.slow
def test_highdicom_places_the_same_voxels(case: Case) -> None:
    """A reader that knows nothing of slices: the volume by geometry, segments combined, against the labels where they were found."""
    if case.shape[0] < 2:
        return  # one slice has no spacing of its own
    with encoding_of(replace(case, form=Form.BINARY)) as (encoding, one):
        volume = hd.seg.segread(BytesIO(one.data)).get_volume(combine_segments=True)
        meant = [mask for mask in case.masks if mask.any()]
        labels = np.zeros(case.shape, dtype=int)
        for number, mask in enumerate(meant, 1):
            labels += number * mask
        zyx = np.argwhere(labels)
        points = zyx @ encoding.volume.affine[:3, :3].T + encoding.volume.affine[:3, 3]
        indices = (np.column_stack([points, np.ones(len(points))]) @ np.linalg.inv(volume.affine).T)[:, :3].round().astype(int)
        assert np.array_equal(volume.array[tuple(indices.T)], labels[tuple(zyx.T)])
        assert np.count_nonzero(volume.array) == len(zyx)


def test_a_frame_left_out_is_missed(tmp_path: Path) -> None:
    """A segment found on one more slice than the object says."""
    case = Case(orientation="axial", shape=made.SHAPE, order=tuple(range(9)), masks=(made.blob(),), form=Form.LABELMAP)
    with encoding_of(case) as (encoding, one):
        more = made.blob()
        more[8, 0, 0] = True
        findings = Findings(segments=(made.segment("segment 0", more),))
        with pytest.raises(MaskDiffers):
            check([one], replace(encoding, findings=findings), read_sources(encoding))
