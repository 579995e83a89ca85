"""What is said of a container: its image, what it is given and how, and what of what it writes is a finding. Nouns alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from inference.applications.bundle.structures import Structure
from inference.applications.container.engine import ContainerBounds
from inference.applications.port import Accepts, Licences, Role
from inference.codes import Code
from inference.imaging.judge.expects import Expects
from inference.imaging.measures.measure import Measure


class Contract(StrEnum):
    """How a container is told where its folders are, and what lies in them."""

    MERCURE = "mercure"
    MAP = "map"
    FOLDER = "folder"


class ImageFormat(StrEnum):
    """What images a container is given."""

    DICOM = "dicom"
    NIFTI = "nifti"


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedBy:
    """Where a container marks a structure if it writes NIfTI: the file, and its number there."""

    file: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerValue:
    """A number that a container says.

    Attributes
    ----------
    key
        Where it stands in the file of values: names joined by ".", "volumes.liver"; "" where it is a measurement of an SR.
    segment
        The label of the segment that it is of; None of the whole.
    optional
        Whether it may be left out.
    """

    key: str
    name: Code
    unit: Code
    segment: str | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerMap:
    """A Parametric Map that a container makes: known by its quantity, in its unit; `optional`: it may be left out."""

    label: str
    quantity: Code
    unit: Code
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerAnswer:
    """A probability that a container says, and what follows from it: from `present` on present, below `absent` absent, else undetermined.

    Of true and false, which it may say instead, they are 1 and 0.
    """

    key: str
    finding: Code
    present: float
    absent: float
    site: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerManifest:
    """All of NAME.container.json.

    Attributes
    ----------
    version
        Of the application: that of the description, and the image.
    image
        With its digest: NAME@sha256:… , or the image's own number, sha256:…
    structures
        What may be marked in a segmentation; `called` has what the container calls those that it calls otherwise, by their labels.
    roles
        Of several series that it is given together: the reference first, on whose images all that it says lies; () for one series.
    images, image_file
        What it is given; of NIfTI the one file of its series. Of several series each lies under the name of its role.
    marked
        By labels of structures: where it marks one that it marks in a NIfTI file; others it marks in DICOM segmentations.
    found
        By labels of structures: where it stands in the file of values whether one was found (true, false, or an amount).
    optional
        The labels of structures that a segmentation of others may leave out where they were not found.
    values_file
        The JSON file of values, in the folder of what it writes.
    ignored
        Patterns of the names of files that nobody needs.
    settings
        What a mercure module finds in task.json as its settings.
    given_at, made_at, variables, command
        Where its folders lie in the container, what it finds in its environment, what is run where the image names nothing.
    """

    name: str
    version: str
    title: str
    image: str
    contract: Contract
    accepts: Accepts
    given_at: str
    made_at: str
    structures: tuple[Structure, ...] = ()
    roles: tuple[Role, ...] = ()
    images: ImageFormat = ImageFormat.DICOM
    image_file: str = "image.nii.gz"
    called: Mapping[str, str] = field(default_factory=dict)
    marked: Mapping[str, MarkedBy] = field(default_factory=dict)
    found: Mapping[str, str] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    values: tuple[ContainerValue, ...] = ()
    answers: tuple[ContainerAnswer, ...] = ()
    maps: tuple[ContainerMap, ...] = ()
    values_file: str = "result.json"
    ignored: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    bounds: ContainerBounds = field(default_factory=ContainerBounds)
    expects: Expects = field(default_factory=Expects)
    noun: str = ""
    volumes: bool = True
    measures: tuple[Measure, ...] = ()
    licences: Licences = field(default_factory=Licences)
    grade: str = "research"
