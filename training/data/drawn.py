"""Cases whose images and drawn labels are NIfTI files: one image a role, labels in one file or in several, on the first image's grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from inference.imaging.roles import RolePlace, motion_onto, on_one_grid
from inference.imaging.subject import VolumeSet
from inference.imaging.volume import Volume
from training.data.cases import Labelled
from training.data.nifti import read_labelled, read_nifti, volume_of
from training.data.volumes import on_one_grid as even
from training.errors import UnfitData


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnFile:
    """A file of labels: what it is called by, and which structure each of its values is; 0 of a value that is known and not learned."""

    file: Path
    values: Mapping[int, int]
    named_in: str


def load_drawn(
    images: Mapping[str, Path],
    drawn: Sequence[DrawnFile],
    modality: str,
    attributes: Mapping[str, str] = MappingProxyType({}),
    *,
    together: bool = False,
) -> Labelled:
    """A case; `together`: its images are looked at in roles, even where one alone is there.

    Of several files of labels the later takes the voxels that it shares with an earlier one.

    Raises
    ------
    UnfitData
        As of `read_labelled`; or a file holds a value that nothing names.
    OutOfReach
        An image does not lie where the first one does.
    """
    (role, first), *others = images.items()
    labels: np.ndarray | None = None
    for each in drawn:
        found = read_labelled(first, each.file, modality)
        unknown = sorted(set(np.unique(found.labels).tolist()) - set(each.values) - {0})
        if unknown:
            raise UnfitData(f"{each.file} holds the value {unknown[0]}, which {each.named_in} does not name")
        numbers = np.zeros(256, dtype=np.uint8)
        numbers[list(each.values)] = list(each.values.values())
        numbers[0] = 0
        mapped = numbers[found.labels]
        labels = mapped if labels is None else np.where(mapped > 0, mapped, labels)
    assert labels is not None, "a case has a file of labels"
    if not together:
        return Labelled(volume=even(found.volume), labels=labels, attributes=attributes)
    placed = placed_on(role, even(found.volume), dict(others), modality).volumes
    beside = {name: placed[name] for name, _ in others}
    return Labelled(volume=placed[role], labels=labels, attributes=attributes, role=role, others=beside)


def placed_on(role: str, first: Volume, others: Mapping[str, Path], modality: str) -> VolumeSet:
    """A volume in its role, and the NIfTI files of others on its grid.

    Raises
    ------
    UnfitData
    OutOfReach
        An image does not lie where the first one does.
    """
    volumes = {role: first}
    for name, path in others.items():
        voxels, affine = read_nifti(path)
        # files of a case are of one space, as far as their affines say where they lie in it
        frame = first.frame_of_reference_uid
        volumes[name] = replace(volume_of(voxels, affine, modality, path.name), frame_of_reference_uid=frame)
    motions = {name: motion_onto(first, volumes[name], RolePlace(name=name))[0] for name in others}
    return on_one_grid(VolumeSet(volumes=volumes, motions=motions))
