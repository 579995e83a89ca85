"""What an application is compared with: segmentations that lie beside the images, or a table of the hospital."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference.findings import Findings
from inference.imaging.subject import Subject
from inference.imaging.volume import Volume
from training.acceptance import segmentation, table
from training.acceptance.structures import References
from training.acceptance.table import NamedSeries, Table
from training.data.dicom import LabelledSeries
from training.errors import UnfitData
from training.evaluation.figures import Kind
from training.evaluation.kept import Row
from training.evaluation.segmentation import Masks


class Reference(ABC):
    """The truth about the series of a folder."""

    @property
    @abstractmethod
    def kinds(self) -> Mapping[str, Kind]:
        """Figures that are no kind of `evaluation.figures`."""

    @property
    @abstractmethod
    def watched(self) -> str:
        """The figure that cells are shown by, and cases ranked."""

    @property
    @abstractmethod
    def identity(self) -> Any:
        """What has to be the same for a test to go on; for JSON."""

    @property
    @abstractmethod
    def notes(self) -> Sequence[str]:
        """Sentences about the references as a whole."""

    @abstractmethod
    def has(self, series: LabelledSeries) -> bool:
        """Whether it says anything of a series."""

    @abstractmethod
    def row(self, series: LabelledSeries, subject: Subject, found: Findings) -> Row:
        """The figures of one case; those whose names begin with a dot are kept for `ranked`.

        Raises
        ------
        MisplacedLabels, UnfitData
        """

    def masks(self, series: LabelledSeries, subject: Subject, found: Findings) -> Sequence[Masks]:
        """What a picture of a case outlines; nothing where nothing was drawn."""
        return ()

    def ranked(self, cases: Sequence[tuple[str, str, Row]]) -> Mapping[str, Any]:
        """Figures of all cases (series, patient, row) together, that no single case has."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn(Reference):
    """DICOM segmentations."""

    meant: References

    @property
    def kinds(self) -> Mapping[str, Kind]:
        return segmentation.kinds(self.meant)

    @property
    def watched(self) -> str:
        return segmentation.watched(self.meant)

    @property
    def identity(self) -> Any:
        return {label: sorted((str(path), *numbers) for path, numbers in files.items()) for label, files in self.meant.numbers.items()}

    @property
    def notes(self) -> Sequence[str]:
        notes = []
        if self.meant.unmarked:
            notes.append(f"No reference marks {', '.join(self.meant.unmarked)}: nothing is known of how well the application does.")
        if self.meant.unknown:
            # free text of a data set: the card leaves out what stands between these marks
            said = ", ".join(f"«{label.replace('»', '')}» ({count})" for label, count in sorted(self.meant.unknown.items()))
            notes.append(f"Segments of the references that the application has no structure for: {said}.")
        return notes

    def has(self, series: LabelledSeries) -> bool:
        return any(file.path in of_files for of_files in self.meant.numbers.values() for file in series.segmentations)

    def row(self, series: LabelledSeries, subject: Subject, found: Findings) -> Row:
        volume = _volume(subject)
        return segmentation.row(segmentation.structures(series, volume, found, self.meant), volume, self.meant)

    def masks(self, series: LabelledSeries, subject: Subject, found: Findings) -> Sequence[Masks]:
        return list(segmentation.structures(series, _volume(subject), found, self.meant).values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Tabled(Reference):
    """A table, and the series that its lines name."""

    table: Table
    named: NamedSeries

    @property
    def kinds(self) -> Mapping[str, Kind]:
        return table.kinds(self.table)

    @property
    def watched(self) -> str:
        return next(iter(self.kinds))

    @property
    def identity(self) -> Any:
        return {uid: [line.present, line.values] for uid, line in self.named.series.items()}

    @property
    def notes(self) -> Sequence[str]:
        unknown = self.table.unknown
        return [f"Columns of the table that the application says nothing of: {', '.join(unknown)}."] if unknown else []

    def has(self, series: LabelledSeries) -> bool:
        return series.uid in self.named.series

    def row(self, series: LabelledSeries, subject: Subject, found: Findings) -> Row:
        return table.row(self.table, self.named.series[series.uid], found)

    def ranked(self, cases: Sequence[tuple[str, str, Row]]) -> Mapping[str, Any]:
        return table.ranking(self.table, [(self.named.series[uid], patient, row) for uid, patient, row in cases])


def _volume(subject: Subject) -> Volume:
    if not isinstance(subject, Volume):
        raise UnfitData(f"a segmentation is compared over one volume, and the application was given {type(subject).__name__.lower()}")
    return subject
