"""Whatever values, labels, codes and names come, a report holds them unchanged: its own check says so, and so do pydicom's eyes here."""

import string
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from inference import codes
from inference.applications.port import LocationOutput
from inference.codes import Code
from inference.findings import Box, Evaluation, Findings, Location, Measurement, Segment
from node.results.port import Encoding
from tests.results import made
from tests.results.reports import comments, groups, named, read, reports

pytestmark = pytest.mark.slow

texts = some.text(some.characters(exclude_categories=["C", "Z"], exclude_characters="\\"), min_size=1, max_size=40)
sentences = some.text(some.characters(exclude_categories=["C"]), max_size=200)
# three digits of what is larger may be no float any more
values = some.floats(-1e300, 1e300)
certainties = some.none() | some.floats(0, 1)
# 18 digits: an identifier of an extension of SNOMED CT (LongCodeValue)
concepts = some.builds(
    Code, some.text(string.digits, min_size=6, max_size=18), some.sampled_from(("SCT", "99LOCAL")), texts.map(lambda text: text[:64])
)
edges = some.floats(0, 1).map(lambda part: round(part, 6))


@some.composite
def boxes(draw: some.DrawFn) -> Box:
    """A box on an image of 13 rows and 11 columns, edges anywhere."""
    top, bottom = sorted(draw(some.lists(edges, min_size=2, max_size=2, unique=True)))
    left, right = sorted(draw(some.lists(edges, min_size=2, max_size=2, unique=True)))
    return Box(top=top * 13, left=left * 11, bottom=bottom * 13, right=right * 11)


@some.composite
def findings(draw: some.DrawFn) -> Findings:
    """Detections, values of the series, empty segments and evaluations with labels of their own."""
    labels = draw(some.lists(texts, min_size=1, max_size=4, unique=True))
    half = len(labels) // 2
    locations = tuple(
        Location(
            label=label, finding=draw(concepts), shape=draw(boxes()), image=draw(some.integers(0, 8)),
            finding_site=draw(some.none() | concepts), laterality=draw(some.none() | some.just(codes.LEFT)), certainty=draw(certainties),
        )
        for label in labels[:half]
    )  # fmt: skip
    segments = tuple(
        Segment(label=label, mask=np.zeros(made.SHAPE, dtype=bool), category=codes.TISSUE, type=draw(concepts), rgb=(1, 2, 3))
        for label in labels[half:]
    )
    numbers = some.builds(Measurement, name=concepts, value=values, unit=some.just(codes.MILLIMETRE), derivation=some.none() | concepts)
    measured = [replace(draw(numbers), location=one.label) for one in locations]
    evaluations = some.builds(
        Evaluation, finding=concepts, value=some.sampled_from((codes.PRESENT, codes.ABSENT)), probability=certainties,
        finding_site=some.none() | concepts, images=some.lists(some.integers(0, 8), max_size=3).map(tuple),
    )  # fmt: skip
    return Findings(
        segments=segments,
        locations=locations,
        measurements=(*measured, *draw(some.lists(numbers, max_size=3))),
        evaluations=tuple(draw(some.lists(evaluations, max_size=3))),
        remarks=tuple(draw(some.lists(sentences, max_size=2))),
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Encoding:
    """An encoding to vary; its application may find what it does not."""
    application = made.application(outputs=(LocationOutput(finding=made.LESION, searched=codes.LUNGS),))
    return made.encoding(made.series(tmp_path_factory.mktemp("series")), Findings(), application=application)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(found=findings())
def test_what_was_found_is_what_the_reports_say(plain: Encoding, found: Findings) -> None:
    """The check lets every report through, which compares each value, code, coordinate and reference; labels, values (exact as
    floats, as text to the three digits that viewers show, a tenth of a short length in mm, or whole per cent), codes and remarks read
    the same by hand."""
    objects = reports(replace(plain, findings=found))
    (report,) = read(objects, "sr")
    meant = [remark.strip() for remark in found.remarks if remark.strip()]
    assert comments(report)[: len(meant)] == meant
    labels = {named(group, "112039")[0].TextValue for one in read(objects, "detections") for group in groups(one)}
    assert labels == {f"mr-brain {location.label}" for location in found.locations}
    every = [group for kind in ("sr", "detections") for one in read(objects, kind) for group in groups(one)]
    numbers = [item.MeasuredValueSequence[0] for group in every for item in group.ContentSequence if item.ValueType == "NUM"]
    for number in numbers:
        assert len(str(number.NumericValue)) <= 16
        exact = float(number.get("FloatingPointValue", number.NumericValue))
        unit = number.MeasurementUnitsCodeSequence[0].CodeValue
        if unit == "mm" and 1 <= abs(exact) < 10:
            assert float(number.NumericValue) == float(f"{exact:.1f}")
        else:
            assert float(number.NumericValue) == pytest.approx(exact, rel=5.1e-3, abs=0.5 if unit == "%" else 1e-300)
    exactly = {float(number.get("FloatingPointValue", number.NumericValue)) for number in numbers}
    assert {float(one.value) for one in found.measurements} <= exactly


@settings(max_examples=8, deadline=None)
@given(found=findings())
def test_equal_findings_give_equal_bytes(plain: Encoding, found: Findings) -> None:
    """No clock and no dice in any report."""
    encoding = replace(plain, findings=found)
    assert [one.data for one in reports(encoding)] == [one.data for one in reports(encoding)]
