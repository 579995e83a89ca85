"""Findings survive the way to disk and back, always as the same bytes."""

import errno
import hashlib
import json
import mmap
import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference import codes
from inference.findings import (
    Box,
    Caution,
    Deformation,
    DerivedImage,
    Earlier,
    Evaluation,
    Explanation,
    Findings,
    Line,
    Location,
    Measurement,
    Point,
    PointInSpace,
    Quality,
    Registration,
    Saliency,
    Segment,
    SegmentPoint,
    Shape,
    Span,
)
from inference.findings_file import FindingsFileDamaged, as_stored, digest, dumps, loads, written
from inference.segment_mask import empty_mask, held_mask
from inference.translatable import say


def some_findings(shape: tuple[int, int, int] = (5, 7, 11)) -> Findings:
    """Two segments whose voxel count is no multiple of eight, with every optional field set once."""
    rng = np.random.default_rng(7)
    return Findings(
        segments=(
            Segment(
                label="lung right",
                mask=rng.random(shape) > 0.5,
                category=codes.ANATOMICAL_STRUCTURE,
                type=codes.LUNG,
                rgb=(1, 2, 255),
                finding_site=codes.CHEST,
                laterality=codes.RIGHT,
            ),
            Segment(label="Hirn – größer", mask=np.zeros(shape, dtype=bool), category=codes.TISSUE, type=codes.BRAIN, rgb=(0, 0, 0)),
        ),
        measurements=(
            Measurement(name=codes.VOLUME, value=0.1 + 0.2, unit=codes.CUBIC_CENTIMETRE, segment="lung right", derivation=codes.MEAN),
            Measurement(name=codes.VOLUME, value=1.0, unit=codes.CUBIC_CENTIMETRE, segment="lung right", at_least=True),
            Measurement(
                name=codes.VOLUME,
                value=2.0,
                unit=codes.CUBIC_CENTIMETRE,
                segment="lung left",
                earlier=Earlier(value=1.9, date="2025-03-04", version="1.0.0", another_model=True),
            ),
        ),
        evaluations=(Evaluation(finding=codes.BRAIN, value=codes.PRESENT, finding_site=codes.HEAD),),
        locations=(
            Location(
                label="middle",
                finding=codes.LUNG,
                shape=PointInSpace(x=0.1, y=-2.5, z=3.0),
                image=2,
                point=SegmentPoint(segment="lung right", purpose=codes.VOLUME, method=codes.MEAN),
            ),
        ),
        remarks=("slices 3.0 mm apart: volume is approximate",),
        cautions=(Caution(sentence=say("Only 5 of 9 images came."), mark="INCOMPLETE 5 of 9"), Caution(sentence=say("Cut off below."))),
    )


def test_what_is_written_is_read_back() -> None:
    """Masks bit for bit with their shapes, floats to the last digit, every code."""
    before = some_findings()
    after = loads(dumps(before))
    assert after.measurements == before.measurements
    assert after.evaluations == before.evaluations
    assert after.locations == before.locations
    assert after.remarks == before.remarks
    assert after.cautions == before.cautions
    for ours, theirs in zip(after.segments, before.segments, strict=True):
        assert ours.mask.dtype == np.bool_
        np.testing.assert_array_equal(ours.mask, theirs.mask)
        for field in ("label", "category", "type", "rgb", "finding_site", "laterality"):
            assert getattr(ours, field) == getattr(theirs, field)


@pytest.mark.parametrize(
    "filled", [slice(0, 0), slice(0, 1), slice(4000, 4200), slice(8191, 8193), slice(20_479, 20_481), slice(0, 20_481)]
)
def test_masks_of_many_pages_come_back(filled: slice) -> None:
    """Bits are unpacked page by page where there are any: none, across two pages, in the last one, which is not whole."""
    (one, _) = some_findings().segments
    mask = np.zeros((1, 1, 20_481), dtype=np.bool_)
    mask[..., filled] = True
    (back,) = loads(dumps(Findings(segments=(replace(one, mask=mask),)))).segments
    np.testing.assert_array_equal(back.mask, mask)
    back.mask[...] = False


def test_a_mask_takes_memory_for_what_it_marks_alone() -> None:
    """A row on every eighth slice of 52 MB, made and read back: pages of 4 KiB each, where 2 MiB each were all of it."""
    (one, _) = some_findings().segments
    before = _own_bytes()
    mask = empty_mask((200, 512, 512))
    mask[::8, 256] = True
    (back,) = loads(dumps(Findings(segments=(replace(one, mask=mask),)))).segments
    assert _own_bytes() - before < 26 << 20
    assert np.count_nonzero(back.mask) == 25 * 512
    assert back.mask[::8, 256].all()


def test_a_mask_that_there_is_no_memory_for_is_no_damaged_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """As numpy says it: an OSError would be told of the disk that the findings lie on."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", full)
    with pytest.raises(MemoryError, match="a mask of 4194304 bytes: Cannot allocate memory"):
        empty_mask((4, 1024, 1024))


def _own_bytes() -> int:
    """What this process holds of its own, as Linux counts."""
    (line,) = re.findall(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(line) * 1024


def test_the_empty_findings_are_a_result_too() -> None:
    """Nothing found is written and read like anything else."""
    assert loads(dumps(Findings())).segments == ()


def test_same_findings_same_bytes_whatever_the_memory_layout() -> None:
    """A mask in Fortran order or as a view of another array gives the bytes of its C-ordered twin."""
    first = some_findings()
    turned = Findings(
        segments=tuple(
            Segment(
                label=s.label,
                mask=np.asfortranarray(s.mask),
                category=s.category,
                type=s.type,
                rgb=s.rgb,
                finding_site=s.finding_site,
                laterality=s.laterality,
            )
            for s in first.segments
        ),
        measurements=first.measurements,
        evaluations=first.evaluations,
        locations=first.locations,
        remarks=first.remarks,
        cautions=first.cautions,
    )
    assert dumps(first) == dumps(turned)
    assert digest(first) == digest(turned)


def test_the_digest_changes_with_one_voxel() -> None:
    """The digest stands for the masks too, not only for the words."""
    findings = some_findings()
    before = digest(findings)
    findings.segments[1].mask[2, 3, 4] = True
    assert digest(findings) != before
    assert len(bytes.fromhex(before)) == hashlib.sha256().digest_size


@pytest.mark.parametrize("cut", [0, 5, 20, 200, -1])
def test_a_cut_off_file_is_named_as_damaged(cut: int) -> None:
    """Bytes lost anywhere give the coded error and no half-read findings."""
    with pytest.raises(FindingsFileDamaged):
        loads(dumps(some_findings())[:cut])


def test_a_changed_mask_is_named_as_damaged() -> None:
    """A flipped bit inside a mask's stream is caught by its SHA-256 (or by zlib's own check)."""
    data = bytearray(dumps(some_findings()))
    data[-40] ^= 0x10
    with pytest.raises(FindingsFileDamaged):
        loads(bytes(data))


def test_a_number_that_is_none_is_refused() -> None:
    """NaN never reaches a report."""
    with pytest.raises(ValueError):
        dumps(Findings(measurements=(Measurement(name=codes.VOLUME, value=float("nan"), unit=codes.CUBIC_CENTIMETRE),)))


def every_kind() -> Findings:
    """One of each, with arrays of several dtypes and memory layouts."""
    rng = np.random.default_rng(11)
    sites: dict[str, Any] = {
        "finding_site": codes.LUNG,
        "laterality": codes.LEFT,
        "certainty": 0.25,
        "qualities": (Quality(name=codes.MEAN, value=codes.LUNG),),
    }
    shapes: tuple[Shape, ...] = (
        Box(top=1.5, left=2, bottom=3, right=4.25),
        Point(row=0.5, column=1),
        Line(start=Point(row=1, column=2), end=Point(row=3, column=4)),
        PointInSpace(x=-1.25, y=2, z=3),
    )
    return Findings(
        segments=some_findings().segments,
        measurements=(Measurement(name=codes.VOLUME, value=1, unit=codes.MILLIMETRE, location="b", span=Span(first=3, last=9)),),
        evaluations=(Evaluation(finding=codes.BRAIN, value=codes.ABSENT, images=(0, 4), span=Span(first=0, last=1), probability=0.5),),
        locations=tuple(Location(label=str(n), finding=codes.BRAIN, shape=shape, image=n, **sites) for n, shape in enumerate(shapes)),
        saliencies=(
            Saliency(
                label="map", values=rng.random((3, 4, 5)).astype(np.float32).T.astype(">f4"), quantity=codes.MEAN, unit=codes.MILLIMETRE
            ),
        ),
        derived=(
            DerivedImage(label="a", voxels=rng.integers(-9, 9, (2, 3, 4)).astype(np.int16), derivation=codes.MEAN, of_prior=True),
            DerivedImage(label="b", voxels=rng.random((2, 3, 4)).astype(np.float32), derivation=codes.MEAN, affine=np.eye(4)),
        ),
        registration=Registration(matrix=rng.random((4, 4))),
        deformation=Deformation(matrix=rng.random((4, 4)), offsets=rng.random((2, 3, 4, 3)).astype(np.float32), affine=rng.random((4, 4))),
        explanations=(
            Explanation(
                label="why", values=rng.random((6, 5)).astype(np.float32), image=1, finding=codes.PNEUMONIA, quantity=codes.SALIENCY
            ),
        ),
    )


def test_every_kind_of_finding_is_read_back() -> None:
    """Whatever an application may say: arrays with their values, numbers, codes and shapes; and written again, the same bytes."""
    before = every_kind()
    after = loads(dumps(before))
    assert after.measurements == before.measurements
    assert after.evaluations == before.evaluations
    assert after.locations == before.locations
    np.testing.assert_array_equal(after.saliencies[0].values, before.saliencies[0].values)
    (why,), (meant,) = after.explanations, before.explanations
    assert (why.label, why.image, why.finding, why.quantity) == (meant.label, meant.image, meant.finding, meant.quantity)
    np.testing.assert_array_equal(why.values, meant.values)
    for ours, theirs in zip(after.derived, before.derived, strict=True):
        assert (ours.label, ours.derivation, ours.of_prior) == (theirs.label, theirs.derivation, theirs.of_prior)
        assert ours.voxels.dtype == theirs.voxels.dtype
        np.testing.assert_array_equal(ours.voxels, theirs.voxels)
    assert after.derived[0].affine is None
    np.testing.assert_array_equal(after.derived[1].affine, np.eye(4))
    assert after.registration is not None
    assert before.registration is not None
    np.testing.assert_array_equal(after.registration.matrix, before.registration.matrix)
    assert after.deformation is not None
    assert before.deformation is not None
    for name in ("matrix", "offsets", "affine"):
        np.testing.assert_array_equal(getattr(after.deformation, name), getattr(before.deformation, name))
    assert dumps(after) == dumps(before)
    assert digest(after) == digest(before)


def test_findings_from_before_explanations_are_still_read_and_keep_their_digest() -> None:
    """Put together as version 2 wrote it when locations had no qualities and findings no explanations: a job goes on under the same name,
    for whatever says nothing adds nothing to the bytes."""
    code = {"is": "Code", "meaning": "Lesion", "scheme": "SCT", "value": "52988006"}
    box = {"bottom": 3.0, "is": "Box", "left": 2.0, "right": 4.25, "top": 1.5}
    location = {"certainty": 0.25, "finding": code, "image": 1, "is": "Location", "label": "lesion 1", "shape": box}
    document = {"is": "Findings", "locations": [location], "remarks": ["thick"]}
    header = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    found = loads(b"hilum-findings 2\n" + struct.pack("<Q", len(header)) + header)
    (one,) = found.locations
    assert (one.label, one.shape, one.qualities) == ("lesion 1", Box(top=1.5, left=2, bottom=3, right=4.25), ())
    assert (found.explanations, found.remarks) == ((), ("thick",))
    assert digest(found) == hashlib.sha256(header).hexdigest()


def test_an_array_of_no_known_kind_is_refused() -> None:
    """Complex numbers have no place in findings; nothing is written."""
    with pytest.raises(ValueError, match="complex"):
        dumps(Findings(registration=Registration(matrix=np.eye(4, dtype=np.complex128))))


def test_what_is_stored_is_what_goes_on() -> None:
    """Numbers of numpy become plain ones, as after a crash; arrays are not copied for it; the digest is that of the bytes read back."""
    given = every_kind()
    certainty: Any = np.float32(0.3)
    odd = replace(given, segments=(replace(given.segments[0], certainty=certainty), *given.segments[1:]))
    plain = as_stored(odd)
    assert type(plain.segments[0].certainty) is float
    assert plain.segments[0].mask is odd.segments[0].mask
    assert plain.derived[0].voxels is odd.derived[0].voxels
    data, named = written(odd)
    assert dumps(plain) == data
    assert named == digest(plain) == digest(loads(data))


def test_a_mask_that_is_held_as_a_box_goes_on_as_it_is_held() -> None:
    """No whole one is made of it on the way: those of a hundred structures took more memory at once than before they were boxes."""
    mask = empty_mask((20, 512, 512))
    mask[3:5, 100:120, 7:9] = True
    given = Findings(segments=(replace(every_kind().segments[0], mask=mask),))
    plain = as_stored(given)
    assert held_mask(plain.segments[0]) is held_mask(given.segments[0])
    assert dumps(plain) == dumps(given)
