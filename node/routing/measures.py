"""What of the measurements that an application declares would be made of a series, by its headers; what would be declined, and why.

The measures themselves are asked, by what the node keeps of headers: what stands in sequences, and what is inside of segments, is found out
when the images are read (`inference.imaging.measures.measuring`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pydicom.dataset import Dataset

from inference.applications.port import Application
from inference.imaging.measures.measure import Measure
from inference.imaging.measures.quantity import Quantity, Undecided, Unknown, quantity_stated
from node.domain.instance import Header, texts_of
from node.domain.route import Decision
from node.routing.decisions import SeriesView
from node.routing.layout import Layout, without_localizers

_READ = (
    *("AcquisitionDate", "AcquisitionTime", "ContrastBolusAgent", "CorrectedImage", "DecayCorrection", "ImageType", "KVP", "PatientWeight"),
    *("RescaleType", "SeriesDate", "SeriesDescription", "SeriesTime", "SliceThickness", "SUVType", "Units"),
)
_AGENTS = "ContrastBolusAgentSequence"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeseenMeasure:
    """One measurement that an application declares. `made`: True, nothing in the headers is against it; False, it is not made, for the
    `reason`; None, the `reason` says what headers do not tell."""

    words: str
    made: bool | None
    reason: str = ""


class StatedImages:
    """What headers say of the images of a series (`inference.imaging.measures.measure.DescribedImages`)."""

    def __init__(self, view: SeriesView, members: Sequence[Header]) -> None:
        self.headers = [_dataset(one) for one in members]
        self._modality = next(iter(texts_of(view.header, "Modality")), "")

    @cached_property
    def stated(self) -> Quantity | Unknown | Undecided:
        """What the values are, or what else tells it."""
        return quantity_stated(self._modality, self.headers)

    @property
    def quantity(self) -> Quantity | Unknown:
        """What the values are, where headers tell it."""
        assert not isinstance(self.stated, Undecided), "it was asked before"
        return self.stated


def foreseen(application: Application, view: SeriesView) -> tuple[ForeseenMeasure, ...]:
    """The measurements that an application declares, each with what headers say of it, in the order in which it declares them."""
    members = without_localizers(view.members)
    if not application.measures or not members:
        return ()
    framed = any("NumberOfFrames" in one for one in members)
    images, layout = StatedImages(view, members), Layout.of(application.accepts, view)
    return tuple(_foreseen(measure, images, layout, framed=framed) for measure in application.measures)


def foreseen_of(
    decisions: Iterable[Decision], views: Sequence[SeriesView], applications: Mapping[str, Application]
) -> dict[tuple[str, str], tuple[ForeseenMeasure, ...]]:
    """By series and application, of those that the gate does not refuse, what would be measured; one that declares nothing has no entry."""
    by_uid = {view.series_instance_uid: view for view in views}
    found: dict[tuple[str, str], tuple[ForeseenMeasure, ...]] = {}
    for one in decisions:
        view = by_uid.get(one.series_instance_uid)
        for tried in one.tried:
            about = one.series_instance_uid, tried.application
            if view is not None and tried.application in applications and tried.held is not False and about not in found:
                found[about] = foreseen(applications[tried.application], view)
    return {about: measures for about, measures in found.items() if measures}


def _foreseen(measure: Measure, images: StatedImages, layout: Layout, *, framed: bool) -> ForeseenMeasure:
    words = str(measure.words)
    if measure.of_values and framed:
        return ForeseenMeasure(words=words, made=None, reason="what its frames say of themselves tells it when they are read")
    if measure.of_values and isinstance(images.stated, Undecided):
        return ForeseenMeasure(words=words, made=None, reason=f"{images.stated.by} tells it when the images are read")
    if layout.volume is None:
        return ForeseenMeasure(words=words, made=None, reason="how its slices lie is found out when the images are read")
    against = measure.against(images, layout.volume)
    return ForeseenMeasure(words=words, made=against is None, reason="" if against is None else str(against))


def _dataset(header: Header) -> Dataset:
    """The elements of a header that measures ask for."""
    made = Dataset()
    for keyword in _READ:
        if values := header.get(keyword, ()):
            setattr(made, keyword, [str(value) for value in values] if len(values) > 1 else str(values[0]))
    items = []
    for code in texts_of(header, _AGENTS):
        items.append(item := Dataset())
        item.CodeValue = code.partition(":")[2]
    setattr(made, _AGENTS, items)
    return made
