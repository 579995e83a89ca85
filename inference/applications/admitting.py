"""Admits what was assembled to an application: the gate and the judge, before any model. Of several volumes each is asked and judged alone.

An optional one that does not fit is left out, and a reader is told; without any other there is no analysis.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydicom.dataset import Dataset

from inference.applications.accept import check, unfit
from inference.applications.errors import NotAccepted
from inference.applications.port import Application, Role
from inference.errors import InputError
from inference.findings import Caution
from inference.imaging import tags
from inference.imaging.errors import UnfitPrior
from inference.imaging.judge.judging import Judge
from inference.imaging.subject import VolumeSet
from inference.imaging.subjects import Assembled, left_out
from inference.imaging.volume import Volume
from inference.translatable import Translatable


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Admitted:
    """What an application is given, the judge of what it then says, and what there is to say before it."""

    assembled: Assembled
    judge: Judge
    remarks: tuple[Translatable, ...]
    cautions: tuple[Caution, ...]


def admitted(application: Application, assembled: Assembled, *, whole: bool = True) -> Admitted:
    """Ask whether an application takes what was assembled.

    Parameters
    ----------
    whole
        As `Judge` has it.

    Raises
    ------
    InputError
        It does not: what `check` and `Judge.before` raise. UnfitPrior: the prior alone is why.
    """
    subject = assembled.subject
    if not isinstance(subject, VolumeSet):
        remarks = check(application, subject)
        judge = Judge(application.expects, subject, assembled.headers, whole=whole)
        return Admitted(assembled=assembled, judge=judge, remarks=remarks, cautions=judge.before())
    said: list[Translatable] = []
    cautions: list[Caution] = []
    for role in application.in_roles:
        if role.name not in subject:
            continue
        try:
            if role.optional and (reasons := unfit(application.in_role(role).accepts, subject[role.name])):
                raise NotAccepted("; ".join(reasons))
            cautions += _judge(application, role, assembled, subject[role.name]).before()
        except InputError as declined:
            if not role.optional:
                raise (UnfitPrior(f"the {role.name}: {declined}") if role.prior_of else declined) from declined
            subject = _without(subject, role.name)
            said.append(left_out(role.name, declined))
    remarks = check(application, subject)
    kept = {volume.series_instance_uid for volume in subject.volumes.values()}
    headers = tuple(header for header in assembled.headers if tags.text(header, tags.SERIES_INSTANCE_UID) in kept)
    assembled = replace(assembled, subject=subject, headers=headers)
    judge = Judge(application.expects, subject, of_the_reference(assembled), whole=whole)
    return Admitted(assembled=assembled, judge=judge, remarks=(*said, *remarks), cautions=tuple(dict.fromkeys(cautions)))


def of_the_reference(assembled: Assembled) -> Sequence[Dataset]:
    """The headers of the volume that results belong to; of single images, cines and phases, of all."""
    subject = assembled.subject
    return _headers(assembled, subject.reference) if isinstance(subject, VolumeSet) else assembled.headers


def _judge(application: Application, role: Role, assembled: Assembled, volume: Volume) -> Judge:
    return Judge(application.in_role(role).expects, volume, _headers(assembled, volume))


def _headers(assembled: Assembled, volume: Volume) -> Sequence[Dataset]:
    return [one for one in assembled.headers if tags.text(one, tags.SERIES_INSTANCE_UID) == volume.series_instance_uid]


def _without(subject: VolumeSet, role: str) -> VolumeSet:
    return replace(
        subject,
        volumes={name: volume for name, volume in subject.volumes.items() if name != role},
        priors=tuple(name for name in subject.priors if name != role),
        motions={name: motion for name, motion in subject.motions.items() if name != role},
        own_grids=tuple(name for name in subject.own_grids if name != role),
    )
