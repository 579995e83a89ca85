"""The errors of the stages themselves; those of imaging, engines, results and sinks stand in their own rooms."""

from inference.errors import EngineError, InputError, ModelError
from node.domain.errors import DeliveryError, JournalError


class ConflictingInstances(InputError):
    """The series holds two different images under one SOP Instance UID."""

    code = "HLM-3080"
    remedy = "Find out at the sender which of the two is right, send the corrected series under new UIDs, and cancel this job."


class NotUnderstood(InputError):
    """An instance that hilum stumbles over."""

    code = "HLM-3082"
    remedy = "Report this as a defect, with the event `index.defect`; the instance is kept where set-aside files are."


class NotRead(InputError):
    """An instance that was acknowledged, and that the disk does not give back."""

    code = "HLM-3086"
    remedy = (
        "Look at the disk, and at whose the file is (the node's user reads it). Once it can be read, move it from `aside` back to `inbox` "
        "(one that ends in .told: to `coming`, and start the node again); if not, have the sender send the study again."
    )


class PixelsGone(InputError):
    """Pixels that the job needs were deleted by retention."""

    code = "HLM-3081"
    remedy = "Send the study again and `hilum jobs retry JOB` (or keep pixels longer: `store: {keep: …}`)."


class PriorMistaken(InputError):
    """What a job compared with turned out to be another patient's: somebody corrected a patient ID."""

    code = "HLM-3084"
    remedy = (
        "Look at the results of the job in the sinks that the event names, and have them removed: they compare two people. The study is "
        "compared anew by itself as soon as there is a prior that is its own."
    )


class SeriesMissing(InputError):
    """The study does not hold a series that the route needs, and the time to wait for it is over."""

    code = "HLM-3085"
    remedy = "Send the series that the reason names: the job then runs by itself. `hilum jobs retry JOB` runs it without."


class SeriesIncomplete(InputError):
    """The series is known to be short, and the time to wait for its rest is over."""

    code = "HLM-3087"
    remedy = (
        "Send the series again: what is missing is taken, and the job then runs by itself, on the whole. `hilum jobs retry JOB` analyses "
        "what came: every result of it begins with INCOMPLETE, and has no volumes."
    )


class TookTooLong(InputError):
    """Matching, parsing or deciding took more processor time than what a peer wrote explains."""

    code = "HLM-3088"
    remedy = (
        "Look at the event `arrival.retry` or `loop.stands`, and report this as a defect; other studies go on. `hilum studies retry STUDY` "
        "routes the study again once hilum, or the route, is mended."
    )


class RoutingDied(InputError):
    """The process that routes ended in the middle of an arrival as often as one may be tried."""

    code = "HLM-3089"
    remedy = (
        "Look for `process.died` and `process.silent` in the event log, and at the memory of the host; other studies go on. `hilum studies "
        "retry STUDY` routes the study again."
    )


class RoutingBroke(InputError):
    """hilum stumbled over an arrival while it routed it, as often as one may be tried."""

    code = "HLM-3093"
    remedy = (
        "Report this as a defect, with the event `arrival.defect`; other studies go on. `hilum studies retry STUDY` routes the study again."
    )


class DeliveredBefore(InputError):
    """Every sink has these results already; only the journal does not know, because it was replaced by an older copy of itself."""

    code = "HLM-3083"
    remedy = (
        "Nothing need be done: the results are where they belong. `hilum jobs retry JOB` makes them again all the same, with other times "
        "under the same UIDs: delete them in the archive first."
    )


class JobTooLate(EngineError):
    """The analysis used up the time that it may take."""

    code = "HLM-4080"
    remedy = "It is tried again by itself; if it stays slow, raise `applications: {NAME: {timeout: …}}` or give it a faster engine."


class WorkerDied(EngineError):
    """The work process ended in the middle of the job as often as a job may be tried; it ran out of memory, mostly, or hung."""

    code = "HLM-4081"
    remedy = "Look for `process.died` in the event log and at the memory of the host; `hilum jobs retry JOB` tries again."
    retry = False


class ApplicationChanged(ModelError):
    """The findings were made by another version of the application than the one installed."""

    code = "HLM-4180"
    remedy = "Put the version back that the reason names and `hilum jobs retry JOB`; or `hilum jobs retry JOB --afresh` with the new one."


class FindingsOfOtherParts(ModelError):
    """The findings are of other parts of the series than its files are split into now: another version of hilum analysed it."""

    code = "HLM-4182"
    remedy = "`hilum jobs retry JOB --afresh` analyses the series again."


class ServedMeanwhile(EngineError):
    """Another version of the model was served between the beginning of a job and its analysis."""

    code = "HLM-4181"
    remedy = "Nothing: the job is analysed again by itself, with the version that is served."


class SinkBusy(DeliveryError):
    """The sink took some objects and answered nothing final about the others."""

    code = "HLM-6080"
    remedy = "The rest is sent again by itself; the reason has the sink's status."


class SinkDefect(DeliveryError):
    """Sending broke in a way that nobody foresaw."""

    code = "HLM-6081"
    remedy = "Report this as a defect, with the event `delivery.defect`; the delivery is tried again by itself."


class SinkUnknown(DeliveryError):
    """The configuration no longer names the sink."""

    code = "HLM-6180"
    remedy = "Put the sink back into `sinks:` and `hilum jobs resend JOB`, or send to another one with `--to`."
    retry = False


class GaveUp(DeliveryError):
    """The sink took nothing for as long as its `give_up` allows."""

    code = "HLM-6181"
    remedy = "Mend the sink (`hilum doctor`), then `hilum jobs resend JOB`."
    retry = False


class SinkTakesNone(DeliveryError):
    """The sink takes no objects of a kind that its profile asks for, in no form that they exist in."""

    code = "HLM-6183"
    remedy = (
        "Let the sink's administrator accept the SOP class in the reason, or give the sink a profile that does without (`profile: {like: "
        "…, not_taken: leave-out}`); then `hilum jobs resend JOB`."
    )
    retry = False


class ObjectGone(DeliveryError):
    """The bytes of a result object are no longer in the blobs."""

    code = "HLM-6182"
    remedy = "Look at the disk of the blobs (`hilum doctor`); send the study again to make the objects anew."
    retry = False


class AuditUnwritable(JournalError):
    """The audit trail's files cannot be written: what there is to tell waits in the journal's history."""

    code = "HLM-7055"
    remedy = "Look at the disk of `audit: {folder: …}`: it needs room, and has to belong to the user that the node runs as."
