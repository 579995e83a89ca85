"""Findings survive the way to disk and back, always as the same bytes."""

import hashlib

import numpy as np
import pytest

from inference import codes
from inference.findings import Evaluation, Findings, Measurement, Segment
from inference.findings_file import FindingsFileDamaged, digest, dumps, loads


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
        ),
        evaluations=(Evaluation(finding=codes.BRAIN, value=codes.PRESENT, finding_site=codes.HEAD),),
        remarks=("slices 3.0 mm apart: volume is approximate",),
    )


def test_what_is_written_is_read_back():
    """Masks bit for bit with their shapes, floats to the last digit, every code."""
    before = some_findings()
    after = loads(dumps(before))
    assert after.measurements == before.measurements
    assert after.evaluations == before.evaluations
    assert after.remarks == before.remarks
    for ours, theirs in zip(after.segments, before.segments, strict=True):
        assert ours.mask.dtype == np.bool_
        np.testing.assert_array_equal(ours.mask, theirs.mask)
        for field in ("label", "category", "type", "rgb", "finding_site", "laterality"):
            assert getattr(ours, field) == getattr(theirs, field)


def test_the_empty_findings_are_a_result_too():
    """Nothing found is written and read like anything else."""
    assert loads(dumps(Findings())).segments == ()


def test_same_findings_same_bytes_whatever_the_memory_layout():
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
        remarks=first.remarks,
    )
    assert dumps(first) == dumps(turned)
    assert digest(first) == digest(turned)


def test_the_digest_changes_with_one_voxel():
    """The digest stands for the masks too, not only for the words."""
    findings = some_findings()
    before = digest(findings)
    findings.segments[1].mask[2, 3, 4] = True
    assert digest(findings) != before
    assert len(bytes.fromhex(before)) == hashlib.sha256().digest_size


@pytest.mark.parametrize("cut", [0, 5, 20, 200, -1])
def test_a_cut_off_file_is_named_as_damaged(cut):
    """Bytes lost anywhere give the coded error and no half-read findings."""
    with pytest.raises(FindingsFileDamaged):
        loads(dumps(some_findings())[:cut])


def test_a_changed_mask_is_named_as_damaged():
    """A flipped bit inside a mask's stream is caught by its SHA-256 (or by zlib's own check)."""
    data = bytearray(dumps(some_findings()))
    data[-40] ^= 0x10
    with pytest.raises(FindingsFileDamaged):
        loads(bytes(data))


def test_a_number_that_is_none_is_refused():
    """NaN never reaches a report."""
    with pytest.raises(ValueError):
        dumps(Findings(measurements=(Measurement(name=codes.VOLUME, value=float("nan"), unit=codes.CUBIC_CENTIMETRE),)))
