"""Sums of several segments, as reports, narratives and pages say them; and how many entries a result makes in a viewer's list."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest

from inference import codes
from inference.applications import catalog
from inference.applications.declared import check_outputs
from inference.applications.port import (
    Application,
    DerivedOutput,
    EvaluationOutput,
    LocationOutput,
    MeasurementOutput,
    SegmentOutput,
    Takes,
)
from inference.errors import HilumError
from inference.findings import Box, DerivedImage, Evaluation, Findings, Location, Measurement, Segment
from inference.imaging.assemble import assemble
from node.domain.profile import VIEWER, Kind, Language, Profile
from node.results.encode import encode
from node.results.page.table import entries
from node.results.selection import emitted
from tests.lab import validators
from tests.results import made
from tests.results.reports import groups, named, number, value

BOTH = Profile(name="both", kinds=frozenset({Kind.SR, Kind.NARRATIVE}), languages=tuple(Language))
MOST = 4
"""SEG, report, page, and one more."""


def _lungs() -> Findings:
    """2 cm³ and 3 cm³, the second beyond the images; 5 cm³ at least together."""
    left, right = (
        made.segment(
            f"lung {side.meaning.lower()}", np.roll(made.blob(), at, axis=2), type=codes.LUNG, laterality=side, finding_site=codes.LUNG
        )
        for side, at in ((codes.LEFT, 0), (codes.RIGHT, 1))
    )
    measured = [
        Measurement(name=codes.VOLUME, value=cm3, unit=codes.CUBIC_CENTIMETRE, segment=one.label, at_least=beyond)
        for one, cm3, beyond in ((left, 2.0, False), (right, 3.004, True))
    ]
    parts = (left.label, right.label)
    total = Measurement(name=codes.VOLUME, value=5.004, unit=codes.CUBIC_CENTIMETRE, total=codes.LUNGS, parts=parts, at_least=True)
    return Findings(segments=(left, right), measurements=(*measured, total))


def test_left_right_and_sum_stand_in_every_conclusion_and_the_sum_is_a_measurement_of_its_own(tmp_path: Path) -> None:
    """TID 1501: finding "Both lungs", its volume, a bound like its part; tracked apart from all else."""
    objects = encode(made.encoding(made.series(tmp_path), _lungs(), profiles=(BOTH,)))
    reports = [pydicom.dcmread(BytesIO(one.data)) for one in objects if one.kind is Kind.SR]
    said = "Left lung: volume 2 cm³. Right lung: volume at least 3.00 cm³. Both lungs, in total: volume at least 5.00 cm³. By "
    assert all(report.ContentSequence[0].ContentSequence[0].TextValue.startswith(said) for report in reports)
    (total,) = groups(reports[1])
    assert total.ContentTemplateSequence[0].TemplateIdentifier == "1501"
    assert (value(total, "121071"), number(total, codes.VOLUME)) == (codes.LUNGS.value, (5.0, "cm3"))
    assert len(named(total, codes.VOLUME)[0].ContentSequence) == 1, "at least"
    narratives = {one.form: one.data for one in objects if one.kind is Kind.NARRATIVE}
    assert "双肺合计：体积至少5.00 cm³。".encode() in narratives["zh"]
    assert b"Both lungs, in total: volume at least 5.00 cm" in narratives["en"]
    assert [one.values for one in entries(_lungs(), ["image 1"], [])][-1] == [("Volume", "at least 5.00 cm³")]


def test_a_total_names_segments_that_there_are(tmp_path: Path) -> None:
    """A sum of a segment that was not found does not leave the application."""
    subject = assemble(made.series(tmp_path))
    outputs = (SegmentOutput(label="brain", type=codes.BRAIN), MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE))
    total = Measurement(name=codes.VOLUME, value=1.0, unit=codes.CUBIC_CENTIMETRE, total=codes.BRAIN, parts=("cerebellum",))
    with pytest.raises(HilumError, match="sums up a segment that the findings do not hold"):
        check_outputs(made.application(outputs=outputs), Findings(measurements=(total,)), subject)


def _everything(application: Application) -> Iterator[tuple[str, object]]:
    """One of each thing that it may say."""
    for position, one in enumerate(application.outputs):
        match one:
            case SegmentOutput():
                mask = np.roll(made.blob(), position, axis=2)
                yield "segments", made.segment(one.label, mask, type=one.type)
            case EvaluationOutput():
                yield "evaluations", Evaluation(finding=one.finding, value=codes.PRESENT, finding_site=codes.HEAD)
            case LocationOutput():
                yield "locations", Location(label="l", finding=one.finding, shape=Box(top=3, left=3, bottom=6, right=7), image=4)
            case DerivedOutput():
                yield "derived", DerivedImage(label=one.label, voxels=np.zeros(made.SHAPE, dtype=np.int16), derivation=one.derivation)
            case _:
                pass


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in catalog.names() if catalog.load(name).accepts.takes is Takes.VOLUME])
def test_a_result_makes_four_entries_at_most(name: str, tmp_path: Path) -> None:
    """Every application of volumes, saying all that it may say, totals too, to a sink whose profile nobody chose; masks in one form, as it
    gets them."""
    application, said = catalog.load(name), dict[str, list[object]]()
    for kind, one in _everything(application):
        said.setdefault(kind, []).append(one)
    segments = [one for one in said.get("segments", []) if isinstance(one, Segment)]
    volume = Measurement(name=codes.VOLUME, value=1.0, unit=codes.CUBIC_CENTIMETRE)
    measured = [volume] if segments else []
    findings = Findings(**{kind: tuple(each) for kind, each in said.items()}, measurements=tuple(measured))  # type: ignore[arg-type]
    objects = encode(made.encoding(made.series(tmp_path), findings, application=application, profiles=(made.BITS,)))
    assert {one.kind for one in objects} <= {Kind.SEG, *VIEWER.kinds}
    series = {one.series_instance_uid: one.description for one in objects}
    assert len(series) <= MOST, sorted(series.values())


@pytest.mark.parametrize("name", [name for name in catalog.names() if catalog.load(name).accepts.takes not in (Takes.VOLUME, Takes.PHASES)])
def test_what_compares_and_what_looks_at_single_images_makes_no_more(name: str) -> None:
    """One entry a kind, of masks one an image: what compares, and what takes loops, has none."""
    application = catalog.load(name)
    masked = any(isinstance(one, SegmentOutput) for one in application.outputs)
    assert not masked or application.accepts.takes in (Takes.IMAGES, Takes.VOLUMES)
    # that an application gave no result is said where there is none
    assert len([one for one in emitted(application, VIEWER) if one.kind is not Kind.STATEMENT]) <= MOST


@pytest.mark.peers
@pytest.mark.slow
def test_validators_take_totals(tmp_path: Path) -> None:
    """dciodvfy, dsrdump and PixelMed on both reports."""
    objects = [one for one in encode(made.encoding(made.series(tmp_path / "source"), _lungs())) if one.kind is Kind.SR]
    paths = made.save(objects, tmp_path / "results")
    assert [fault for path in paths for fault in validators.faults_of(path, report=True)] == []
