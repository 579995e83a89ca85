"""Cases from the children's chest radiographs of Kermany, Zhang, Goldbaum (Cell 2018): folders or zips of pictures, by class and person.

As published, `train` and `test` hold a folder of each class (NORMAL, PNEUMONIA); copies part pneumonia into bacteria and virus. Names tell
the person: person17_virus_48.jpeg, IM-0115-0001.jpeg, NORMAL2-IM-0587-0001.jpeg.

A number is counted as one person, whatever the class: where both sides have it, its pictures are not learned from, though the numbers of
two classes may well be of different children. Who is held out, the makers decided; who validates, a hash of the number.
"""

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from training.data.cases import Case, Fold, LabelledImage, Split, split
from training.data.pictures import ENDINGS, picture_in
from training.errors import UnfitData

CHOOSING = Fold(number=1, count=10)
"""The persons of the training side that validate."""
_CLASSES = {"normal": False, "pneumonia": True, "bacteria": True, "virus": True}
_PERSON = re.compile(r"(person\d+)_|((?:NORMAL\d+-)?IM-\d+)-", re.IGNORECASE)
_HELD_OUT = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """A picture of the set, not read yet: a file, or the member of a zip; and what its path says of it."""

    file: Path
    member: str
    name: str
    person: str
    positive: bool
    held_out: bool

    def load(self) -> Any:
        """The picture as the radiograph that serving would be given, and whether it shows pneumonia."""
        held = _opened(self.file).read(self.member) if self.member else self.file.read_bytes()
        return LabelledImage(images=picture_in(io.BytesIO(held), self.name, "DX"), positive=self.positive)

    @property
    def case(self) -> Case:
        return Case(patient=self.person, name=self.name, load=self.load, stratum="pneumonia" if self.positive else "normal")


def sides(data: Path) -> Split:
    """The three sides of the set: its test side, and of its training side every tenth person, and the others.

    Raises
    ------
    UnfitData
        No picture, or one whose path tells no class or no person; or a side of one class.
    """
    held_out, learned = of_sides(films(data))
    validation = split(learned, 0, CHOOSING).test
    chosen = {case.name for case in validation}
    return Split(train=tuple(case for case in learned if case.name not in chosen), validation=validation, test=held_out)


def of_sides(all_films: Sequence[Film]) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """The cases that are held out, and those that may be learned from.

    Raises
    ------
    UnfitData
        There is no test side, or a side has one class: it has no AUC.
    """
    persons = {film.person for film in all_films if film.held_out}
    held_out = [film for film in all_films if film.held_out]
    learned = [film for film in all_films if film.person not in persons]
    for side, there in ((_HELD_OUT, held_out), ("train", learned)):
        if len({film.positive for film in there}) < 2:
            raise UnfitData(f"the {side} side has {len(there)} pictures, and not of both classes (folders NORMAL and PNEUMONIA)")
    return tuple(film.case for film in held_out), tuple(film.case for film in learned)


def films(data: Path) -> tuple[Film, ...]:
    """Every picture of a folder, in it or in zips in it, in the order of their paths.

    Raises
    ------
    UnfitData
        There is none, or one whose path tells no class or no person.
    """
    found = tuple(_film(data, *place) for place in _places(data))
    if not found:
        raise UnfitData(f"{data} holds no pictures: folders or zips train and test are needed, in each NORMAL and PNEUMONIA")
    return found


def _places(data: Path) -> Iterator[tuple[Path, str]]:
    for file in sorted(data.rglob("*")):
        if file.suffix.lower() == ".zip":
            for member in sorted(_opened(file).namelist()):
                # what macOS puts beside each file of an archive has its name, and is no picture
                if PurePosixPath(member).suffix.lower() in ENDINGS and not PurePosixPath(member).name.startswith("."):
                    yield file, member
        elif file.suffix.lower() in ENDINGS and not file.name.startswith("."):
            yield file, ""


def _film(data: Path, file: Path, member: str) -> Film:
    place = PurePosixPath(file.relative_to(data).as_posix(), member)
    folders = [part.lower() for part in place.parts[:-1]]
    classes = {_CLASSES[folder] for folder in folders if folder in _CLASSES}
    person = _PERSON.match(place.name)
    if len(classes) != 1 or person is None:
        wanted = "its name begins with a person (person17_…, IM-0115-…)" if classes else "it lies in a folder NORMAL or PNEUMONIA"
        raise UnfitData(f"{data / place}: nothing tells {'whom' if classes else 'what'} it shows; of this set {wanted}")
    return Film(
        file=file,
        member=member,
        name=str(place),
        person=(person[1] or person[2]).lower(),
        positive=classes.pop(),
        held_out=any(folder.startswith(_HELD_OUT) for folder in folders),
    )


@lru_cache(maxsize=8)
def _opened(file: Path) -> zipfile.ZipFile:
    """Kept open: to find what an archive holds takes longer than to read a picture of it.

    Raises
    ------
    UnfitData
    """
    try:
        return zipfile.ZipFile(file)
    except (OSError, zipfile.BadZipFile) as broken:
        raise UnfitData(f"{file} cannot be read as a zip: {broken}") from broken
