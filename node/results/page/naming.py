"""What people call the images and the series that a result is about: as viewers write beside them."""

from inference.imaging.subject import Images
from node.results.normalise import text
from node.results.planes import Sources
from node.results.port import Encoding


def image_names(encoding: Encoding, sources: Sources) -> list[str]:
    """A name for every slice, image or frame: its instance number or its frame, with the view of a projection."""
    views = [image.view for image in encoding.subject.images] if isinstance(encoding.subject, Images) else [""] * len(sources.slices)
    return [f"{view}, {name}" if view else name for view, name in zip(views, _numbers(sources), strict=True)]


def series_date(sources: Sources) -> str:
    """The day of the series, as 2025-03-04; "" where the header says none."""
    date = text(sources.first, "SeriesDate") or text(sources.first, "StudyDate")
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if date else ""


def series_description(sources: Sources) -> str:
    """How the scanner calls the series; "" where it does not."""
    return text(sources.first, "SeriesDescription") or text(sources.first, "ProtocolName")


def _numbers(sources: Sources) -> list[str]:
    names = []
    for place, source in enumerate(sources.slices, 1):
        number = text(sources.headers[source.sop_instance_uid], "InstanceNumber")
        unknown = f"image {place} of {len(sources.slices)}"
        names.append(f"frame {source.frame}" if source.frame is not None else f"image {number}" if number else unknown)
    return names
