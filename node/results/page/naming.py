"""What people call the images and the series that a result is about: as viewers write beside them."""

from dataclasses import dataclass
from enum import Enum, auto

from inference.imaging.subject import Images
from node.results.normalise import text
from node.results.planes import Sources
from node.results.port import Encoding


class Numbering(Enum):
    """How an image is called: by its InstanceNumber, as a frame, or, where neither is known, by its place."""

    IMAGE = auto()
    FRAME = auto()
    PLACE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageName:
    """What people call one image; `view` is what the header says of a projection, as it says it."""

    numbering: Numbering
    number: str
    view: str = ""


def names_of_images(encoding: Encoding, sources: Sources) -> list[ImageName]:
    """What every slice, image or frame is called, for whoever puts it into words."""
    subject = encoding.subject
    views = [image.view for image in subject.images] if isinstance(subject, Images) else [""] * len(sources.slices)
    names = []
    for place, (source, view) in enumerate(zip(sources.slices, views, strict=True), 1):
        number = text(sources.headers[source.sop_instance_uid], "InstanceNumber")
        if source.frame is not None:
            names.append(ImageName(numbering=Numbering.FRAME, number=str(source.frame), view=view))
        else:
            numbering = Numbering.IMAGE if number else Numbering.PLACE
            names.append(ImageName(numbering=numbering, number=number or str(place), view=view))
    return names


def image_names(encoding: Encoding, sources: Sources) -> list[str]:
    """The same on pictures: "image 12", "frame 3", "L MLO, image 1"."""
    count = len(sources.slices)
    words = {Numbering.IMAGE: "image {}", Numbering.FRAME: "frame {}", Numbering.PLACE: f"image {{}} of {count}"}
    named = [(name.view, words[name.numbering].format(name.number)) for name in names_of_images(encoding, sources)]
    return [f"{view}, {name}" if view else name for view, name in named]


def series_date(sources: Sources) -> str:
    """The day of the series, as 2025-03-04; "" where the header says none."""
    date = text(sources.first, "SeriesDate") or text(sources.first, "StudyDate")
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if date else ""


def series_description(sources: Sources) -> str:
    """How the scanner calls the series; "" where it does not."""
    return text(sources.first, "SeriesDescription") or text(sources.first, "ProtocolName")
