"""Who is not looked at: those who choose a checkpoint or are held out, as a folder of images without labels may have them.

They are known by PatientID, by the names of files and folders, by SOP Instance UID, and by the very values of their images. Whoever is in
the folder under another ID and name, with another image, is not.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.imaging.subject import Images, Subject, all_sources, volumes_in
from training.data.cases import Case
from training.data.pictures import ENDINGS
from training.infer import naming

_BETWEEN = "\\"
"""Between PatientID and its issuer, as in `LabelledSeries.patient`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """What is known of some cases.

    Attributes
    ----------
    issuers
        By PatientID, or what else a patient is called: who issued it; "" where nobody says.
    names
        What patients and cases are called: of files their way below their folder without the ending, in parts; of DICOM a UID.
    images
        As of `images_of`.
    """

    issuers: Mapping[str, frozenset[str]]
    names: frozenset[tuple[str, ...]]
    images: frozenset[str]

    def has_patient(self, patient: str) -> bool:
        """Whether a PatientID with its issuer is, or may be, one of theirs: without an issuer it may be anybody's who has it."""
        own, _, issuer = patient.partition(_BETWEEN)
        known = self.issuers.get(own, frozenset())
        return issuer in known or (bool(known) and (not issuer or "" in known))

    def has_name(self, path: Path) -> bool:
        """Whether a file (below its folder) is called as one of their patients or cases, or lies in a folder that is: NAME.png, or what
        layouts make of it (NAME_0000.nii.gz, NAME_T1w.nii.gz, NAME/…)."""
        way = (*path.parts[:-1], _plain(path.name))
        return any(_called(way, name) for name in self.names)


def apart(cases: Iterable[Case]) -> Apart:
    """What is known of `cases`, each of which is read once.

    Raises
    ------
    HilumError
        One cannot be read.
    """
    issuers: dict[str, set[str]] = {}
    images = set[str]()
    names = set[str]()
    for case in cases:
        for patient in (case.patient, *case.ids):
            own, _, issuer = patient.partition(_BETWEEN)
            issuers.setdefault(own, set()).add(issuer)
        names.add(case.name)
        with naming(case):
            images |= images_of(case.load().subject)
    return Apart(
        issuers={own: frozenset(each) for own, each in issuers.items()},
        names=frozenset(Path(name).parts for name in {*issuers, *map(_plain, names)} - {""}),
        images=frozenset(images),
    )


def images_of(subject: Subject) -> frozenset[str]:
    """Its SOP Instance UIDs, and a digest of the values of each of its volumes or images."""
    values: list[NDArray[Any]] = [volume.voxels for volume in volumes_in(subject)]
    if isinstance(subject, Images):
        values += [image.pixels for image in subject.images]
    return frozenset({source.sop_instance_uid for source in all_sources(subject)} | set(map(_digest, values)))


def _digest(values: NDArray[Any]) -> str:
    return hashlib.sha256(repr(values.shape).encode() + np.ascontiguousarray(values, dtype=np.float32).tobytes()).hexdigest()


def _plain(name: str) -> str:
    """Without the ending of an image."""
    for ending in (".nii.gz", ".nii", *ENDINGS):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def _called(way: tuple[str, ...], name: tuple[str, ...]) -> bool:
    """Whether a file (its folders and its name) is meant by a name, which may have folders itself."""
    if len(name) == 1 and name[0] in way[:-1]:
        return True
    behind = way[-1].removeprefix(name[-1])
    return way[-len(name) : -1] == name[:-1] and way[-1].startswith(name[-1]) and not behind[:1].isalnum()
