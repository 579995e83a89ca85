"""Input of a statement; `node.results.statement.make.encode_statement` is the one entrance."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from inference.imaging.subject import Images
from node.domain.notes import Statement
from node.results.port import Encoding
from node.results.sources import SourceSeries


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """All that a statement is made from.

    Attributes
    ----------
    encoding
        Of no findings and no images: whose application, when, and by what.
    statement
        What there is to say.
    looked_at
        The series that the application was asked about, the first of them the one that names the job, as far as their images name the
        patient whom the statement names.
    shared
        Whether other images that the application was asked about name another patient, or nobody; they have a statement of their own.
    apart
        The series of which only some images are of `looked_at`.
    numbers
        InstanceNumber by SOP Instance UID, of the images of `looked_at` that have one: by it readers know an image.
    """

    encoding: Encoding
    statement: Statement
    looked_at: Sequence[SourceSeries]
    shared: bool = False
    apart: Collection[str] = ()
    numbers: Mapping[str, str] = field(default_factory=dict)


def nothing_of(study_instance_uid: str, series_instance_uid: str, modality: str) -> Images:
    """What a statement is about: a study, and no image that was analysed."""
    return Images(images=(), modality=modality, study_instance_uid=study_instance_uid, series_instance_uid=series_instance_uid)
