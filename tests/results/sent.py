"""What of a job's objects goes to a sink, by the rules that a delivery goes by."""

from collections.abc import Sequence

from node.domain.job import ResultObject
from node.domain.profile import Form, Profile
from node.results.port import Encoded
from node.results.selection import preferred, select


def frozen(objects: Sequence[Encoded]) -> list[ResultObject]:
    """As the journal has them."""
    return [
        ResultObject(
            id=number,
            job=1,
            kind=one.kind,
            form=one.form,
            sop_instance_uid=one.sop_instance_uid,
            sop_class_uid=one.sop_class_uid,
            series_instance_uid=one.series_instance_uid,
            description=one.description,
            blob="",
            size=len(one.data),
            digest="",
            part=one.part,
            one_cine=one.one_cine,
        )
        for number, one in enumerate(objects)
    ]


def forms_of(profile: Profile, objects: Sequence[Encoded]) -> list[Form | None]:
    """The forms in which they may go, the best first; None where there are no masks."""
    return [*preferred(profile, frozen(objects))] or [None]


def sent_by(profile: Profile, objects: Sequence[Encoded], form: Form | None) -> list[Encoded]:
    """Those that go in a form."""
    chosen = {one.sop_instance_uid for one in select(profile, frozen(objects), form).sent}
    return [one for one in objects if one.sop_instance_uid in chosen]
