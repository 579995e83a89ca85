"""The series that mr-super-resolution gives: where its images lie, what they were made of by their own word, and that they are valid."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest

from inference.applications import catalog
from inference.applications.accept import check
from inference.applications.declared import check_outputs
from inference.imaging.assemble import assemble
from inference.imaging.write_series import write_series
from node.domain.profile import Kind
from node.results.encode import encode
from tests.lab.validators import dciodvfy
from tests.results import made
from tests.unit.applications.test_mr_super_resolution import Network, stack


@pytest.mark.peers
def test_the_series_lies_between_its_sources_and_says_what_it_is(tmp_path: Path) -> None:
    """Of 6 slices of 5 mm, 26 of 1 mm: each where it was computed, between the two sources that it names, DERIVED, without an error of
    dciodvfy; acquired slices are named alone by the one in their place."""
    volume = stack(5.0, shape=(6, 34, 32))
    files = write_series(
        volume.voxels,
        volume.affine,
        tmp_path,
        modality="MR",
        extra={"BodyPartExamined": "HEAD", "SliceThickness": "5", "SpacingBetweenSlices": "5"},
    )
    application, subject = catalog.load("mr-super-resolution"), assemble(files)
    check(application, subject)
    findings = application.analyse(subject, Network())
    check_outputs(application, findings, subject)
    objects = [one for one in encode(made.encoding(files, findings, application=application)) if one.kind is Kind.DERIVED]
    assert [fault for path in made.save(objects, tmp_path / "made") for fault in dciodvfy(path)] == []
    images = [pydicom.dcmread(BytesIO(one.data)) for one in objects]
    sources = [pydicom.dcmread(file) for file in files]
    assert len(images) == 26
    assert len({one.SeriesInstanceUID for one in images}) == 1
    first = np.array(sources[0].ImagePositionPatient, dtype=float)
    step = (np.array(sources[1].ImagePositionPatient, dtype=float) - first) / 5
    for z, one in enumerate(images):
        assert np.array(one.ImagePositionPatient, dtype=float) == pytest.approx(first + z * step, abs=1e-4)
        assert (float(one.SliceThickness), float(one.SpacingBetweenSlices)) == (1.0, 1.0)
        assert list(one.ImageType[:2]) == ["DERIVED", "SECONDARY"]
        assert "not acquired" in one.SeriesDescription
        assert one.DerivationDescription.startswith("thin slices by a network, not acquired, research: spatial resampling of the images")
        assert one.DerivationCodeSequence[0].CodeValue == "113085"
        named = [item.ReferencedSOPInstanceUID for item in one.SourceImageSequence]
        assert named == [source.SOPInstanceUID for source in sources[z // 5 : z // 5 + 1 + (z % 5 > 0)]]
        assert one.FrameOfReferenceUID == sources[0].FrameOfReferenceUID
