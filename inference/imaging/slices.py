"""The slices of a series: each frame that has a place, with the instance that holds it and the data sets that speak of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from inference.imaging import tags
from inference.imaging.geometry import Plane
from inference.imaging.header import Instance


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One frame (0-based) of an instance, and its place."""

    instance: Instance
    frame: int
    plane: Plane


def slices_of(instances: Sequence[Instance]) -> list[Slice]:
    """Every frame that has a place, in the order of the instances."""
    return [
        Slice(instance=instance, frame=frame, plane=plane)
        for instance in instances
        for frame, plane in enumerate(instance.planes)
        if plane is not None
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameData:
    """The data sets that speak of one slice: its functional groups and the shared ones, or (`own is common`) a classic header."""

    header: Dataset
    own: Dataset
    common: Dataset
    uid: str

    @property
    def enhanced(self) -> bool:
        """Whether there are functional groups."""
        return self.own is not self.common


def frame_data(slices: Sequence[Slice]) -> list[FrameData]:
    """Of each slice."""
    groups: dict[str, tuple[Sequence[Dataset], Dataset]] = {}
    frames = []
    for each in slices:
        uid, header = each.instance.sop_instance_uid, each.instance.header
        if uid not in groups:
            shared = tags.items(header, tags.SHARED_GROUPS, uid)
            groups[uid] = tags.items(header, tags.PER_FRAME_GROUPS, uid), (shared[0] if shared else Dataset())
        own, common = groups[uid]
        frames.append(FrameData(header=header, own=own[each.frame] if own else header, common=common if own else header, uid=uid))
    return frames


def frames_in(header: Dataset) -> list[FrameData]:
    """Each frame of an enhanced instance, whether it has a place or not; of any other the header, once."""
    uid = tags.text(header, tags.SOP_INSTANCE_UID)
    shared, per_frame = tags.items(header, tags.SHARED_GROUPS, uid), tags.items(header, tags.PER_FRAME_GROUPS, uid)
    common = shared[0] if shared else Dataset()
    frames = [FrameData(header=header, own=own, common=common, uid=uid) for own in per_frame]
    return frames or [FrameData(header=header, own=header, common=header, uid=uid)]
