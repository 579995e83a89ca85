"""`hilum patients erase`: everything that the node holds of one patient goes, on request."""

import re
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from node.cli.ending import Ambiguous, NobodyErased, NothingFound, SeveralPatients, WrongWords
from node.cli.opened import ConfigOption, JsonOption, journal

if TYPE_CHECKING:
    from node.domain.patient import Patient
    from node.journal.journal import Journal
    from node.settings.config import Config
    from node.upkeep.erasure import ErasurePlan, ErasureResult

_SHOWN = 20


def erase(
    *,
    id: Annotated[str | None, Parameter(name="--id")] = None,
    issuer: str | None = None,
    study: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    all_patients: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    dry_run: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    yes: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    remember: str = "7d",
    wait: int = 60,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Erase everything that the node holds of a patient: images, results, findings, headers, history.

    Jobs are cancelled and deliveries withdrawn first. What was delivered stays where it is; backups and the audit trail keep what they
    have. Each is named. Killed in the middle, the same call finishes it. The node may run. Exit code 1 where nobody was there to be erased.

    Parameters
    ----------
    id
        The patient's ID, as headers have it.
    issuer
        Who issued it, where several have; "" for headers that do not say.
    study
        Erase this study (its whole UID) instead; may be given several times. It also finds a study whose headers have been forgotten. Each
        is to be one patient's.
    all_patients
        Erase studies given by --study also where their headers name several patients.
    dry_run
        Show what would be erased, and touch nothing.
    yes
        Do not ask.
    remember
        For how long what comes again of these studies is dropped: by digests that name nobody. Afterwards it is taken as new.
    wait
        Seconds to wait for analyses and deliveries that are under way.
    """
    from node.cli import screen

    if (id is None) == (not study):
        raise WrongWords("name a patient (--id) or studies (--study): one of the two")
    if issuer is not None and id is None:
        raise WrongWords("--issuer belongs to --id")
    if as_json and not (dry_run or yes):
        raise WrongWords("--json asks nobody: add --dry-run or --yes")
    known_for = _duration(remember)
    with journal(config) as (loaded, opened):
        patient = None if id is None else _patient(opened, id, issuer)
        trail, erasure = _erasure(loaded, opened, patient, study)
        try:
            plan = erasure.plan()
            if as_json and dry_run:
                screen.as_json(_planned(plan))
                return 1 if plan.empty else 0
            if not as_json:
                _show(screen.say, plan, patient, loaded)
            if dry_run:
                _demand_somebody(plan.empty, patient)
                return 0
            _demand_one_patient(opened, study, all_patients=all_patients)
            if not plan.empty and not yes and not _agreed(patient):
                raise NobodyErased("it was not agreed to: nothing was erased")
            done = erasure.carry_out(plan, remember=known_for, patience_s=float(wait))
        finally:
            if trail is not None:
                trail.close()
    # an erasure that was ended in the middle is finished by the same call, which finds nothing but files any more
    nothing = plan.empty and not (done.instances or done.jobs or done.blobs or done.files)
    if as_json:
        screen.as_json({**_planned(plan), **_carried_out(done)})
    else:
        _demand_somebody(nothing, patient)
        _tell(screen.say, done)
    return 0 if done.clean and done.under_way == 0 and not nothing else 1


def _demand_somebody(nothing: bool, patient: "Patient | None") -> None:
    if nothing:
        whose = "of these studies" if patient is None else "of a patient with this ID"
        raise NobodyErased(f"nothing is held {whose}: nobody was erased; backups and what was delivered were not looked into")


def _demand_one_patient(opened: "Journal", studies: tuple[str, ...], *, all_patients: bool) -> None:
    """Two patients under one Study Instance UID are two patients: whoever means the one must not erase the other unasked."""
    for uid in () if all_patients else studies:
        if (found := opened.erasure.find(None, [uid]).patients) > 1:
            raise SeveralPatients(f"study {uid} holds instances of {found} patients; nothing was erased")


def _patient(opened: "Journal", patient_id: str, issuer: str | None) -> "Patient":
    from node.domain.patient import Patient

    wanted = patient_id.strip()
    if not wanted:
        raise WrongWords("--id is empty: nobody is called so")
    issuers = opened.erasure.issuers(wanted)
    if issuer is None and len(issuers) > 1:
        told = ", ".join(f'"{one}"' for one in issuers)
        raise Ambiguous(f"{len(issuers)} patients have this ID, from different issuers: {told}; add --issuer")
    return Patient(patient_id=wanted, issuer=(issuers[0] if issuers else "") if issuer is None else issuer.strip())


def _erasure(loaded: "Config", opened: "Journal", patient: "Patient | None", studies: tuple[str, ...]) -> tuple[Any, Any]:
    """The erasure, and the audit trail that it is told to."""

    from node.assembly import compose
    from node.assembly.audit import open_trail, person
    from node.assembly.flow import audit_stage
    from node.observe.audit.message import Participant
    from node.upkeep.erasure import Erasure

    for uid in studies:
        if not re.fullmatch(r"[0-9.]{1,64}", uid):
            raise NothingFound(f'"{uid}" is no UID; give the whole of it')
    blobs = compose.open_blobs(loaded)
    trail = open_trail(loaded)
    caught_up: Callable[[], None] = lambda: None  # noqa: E731
    if trail is not None:
        stage = audit_stage(loaded, opened, trail)

        def caught_up() -> None:
            while stage.step():
                pass

    erasure = Erasure(
        opened,
        blobs,
        compose.open_inbox(loaded, blobs),
        opened.now,
        patient=patient,
        studies=studies,
        tell=(lambda _: None) if trail is None else trail.write,
        caught_up=caught_up,
        who=Participant(user_id=person(), requestor=True),
    )
    return trail, erasure


def _agreed(patient: "Patient | None") -> bool:
    asked = "the patient's ID" if patient is not None else "erase"
    try:
        answer = input(f"To erase it for good, type {asked}: ")
    except EOFError:
        print("there is nobody to ask: give --yes", file=sys.stderr)
        return False
    return answer.strip() == (patient.patient_id if patient is not None else "erase")


def _show(say: Callable[[str], None], plan: "ErasurePlan", patient: "Patient | None", loaded: "Config") -> None:
    from node.cli import screen

    held = plan.held
    whose = (
        "of these studies" if patient is None else f"of patient {patient.patient_id}" + (f" ({patient.issuer})" if patient.issuer else "")
    )
    if not plan.empty:
        size = f"{screen.plural(len(held.instances), 'instance')} ({screen.size(held.size)})"
        say(f"held {whose}: {size}, {screen.plural(len(held.jobs), 'job')} with what they made")
        for uid in held.studies[:_SHOWN]:
            say(f"  study {uid}")
        for uid in held.shared:
            say(f"  study {uid}: in part; other headers in it name somebody else")
        if len(held.studies) > _SHOWN:
            say(f"  and {len(held.studies) - _SHOWN} more studies")
    for count, what in ((len(plan.entries), "received, not in the journal yet"), (len(plan.asides), "set aside, bearing this ID")):
        if count:
            say(f"  {screen.plural(count, 'file')} {what}")
    for path in plan.unread:
        say(f"  look at it yourself: {path} (set aside; no patient ID can be found in it)")
    if patient is None and held.patients > 1:
        say(f"  they name {held.patients} patients: a study that is of several is not erased without --all-patients")
    if held.sinks:
        say(f"results were delivered to {screen.joined(held.sinks)}: they stay there, ask whoever keeps them")
    if not plan.empty:
        kept = ["backups"] + (["the audit trail, which says who was here and what was done"] if loaded.audit.folder else [])
        say(f"not erased: {' and '.join(kept)}")


def _tell(say: Callable[[str], None], done: "ErasureResult") -> None:
    from node.cli import screen

    files = screen.plural(done.blobs + done.files, "file")
    say(f"erased: {screen.plural(done.instances, 'instance')}, {screen.plural(done.jobs, 'job')}, {files}")
    if done.under_way:
        say(f"{screen.plural(done.under_way, 'analysis or delivery', 'analyses or deliveries')} did not end in time: look into the sinks")
    if not done.clean:
        say("another process kept the journal's file from being cleaned of deleted rows: call this again")


def _planned(plan: "ErasurePlan") -> dict[str, Any]:
    held = plan.held
    return {
        "instances": len(held.instances),
        "bytes": held.size,
        "patients": held.patients,
        "jobs": len(held.jobs),
        "studies": list(held.studies),
        "shared_studies": list(held.shared),
        "entries": len(plan.entries),
        "asides": [str(path) for path in plan.asides],
        "unread": [str(path) for path in plan.unread],
        "delivered_to": list(held.sinks),
    }


def _carried_out(done: "ErasureResult") -> dict[str, Any]:
    erased = {"instances": done.instances, "jobs": done.jobs, "blobs": done.blobs, "files": done.files}
    return {"erased": erased, "under_way": done.under_way, "clean": done.clean}


def _duration(text: str) -> timedelta:
    from node.settings.kinds import duration

    try:
        return duration(text)
    except ValueError as unfit:
        raise WrongWords(f"--remember: {unfit}") from unfit
