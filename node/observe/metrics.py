"""Every metric of the node, declared once, with its help: docs/reference/metrics.md is made from this file.

Counted where things happen, in the process that does them, at well under a microsecond's cost beside a flush of milliseconds; the
supervisor adds up its processes. What stands in the journal (how deep queues are) is looked up when somebody asks, and never counted twice.
"""

from node.observe.instruments import Counter, Fact, Gauge, Histogram, Merge

STRANGER = "stranger"
"""The value of `peer` for every calling AE title that the configuration does not know."""


_STORE_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_STEP_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60)
_WORK_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600)
_CALL_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300)
_WAIT_S = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400, 43200)

# ---- receiving

RECEIVE = Histogram(
    "hilum_receive_seconds",
    "From the last byte of a C-STORE request to its answer's status: checked and flushed to disk, or refused.",
    "peer",
    buckets=_STORE_S,
)
INSTANCES = Counter(
    "hilum_instances_total", "C-STORE requests by the status that was answered (hexadecimal; 0000 is kept).", "peer", "status"
)
RECEIVED_BYTES = Counter("hilum_received_bytes_total", "Bytes of the data sets that were kept.", "peer")
ASSOCIATIONS = Counter(
    "hilum_associations_total",
    "Associations that ended (released, aborted, lost) or were rejected (called, calling: an AE title or address; busy: a limit).",
    "peer",
    "outcome",
)
CONNECTIONS_CLOSED = Counter(
    "hilum_connections_closed_total",
    "Connections that the node closed before an association was asked for: unknown_address (no peer has it), too_many (displaced, or "
    "without a seat), no_proxy_header, not_requested (what came asks for none: TLS, HTTP, half a request).",
    "reason",
)
CROWDED = Gauge("hilum_intake_crowded", "1 while no association is admitted, for want of room: a mark is crossed.", merge=Merge.MAX)
ASSOCIATIONS_OPEN = Gauge("hilum_associations_open", "Associations that stand now.", "peer", merge=Merge.SUM)

# ---- settling and routing

INDEXED = Counter(
    "hilum_indexed_total",
    "Received files by what they were to the journal: new, again, own_result, other_result (of another node), "
    "aside (no readable instance), conflict (other pixels), held.",
    "standing",
)
SETTLE_WAIT = Histogram(
    "hilum_settle_wait_seconds", "From the last instance of a study (or series) to its completeness.", "peer", buckets=_WAIT_S
)
SETTLE_WINDOW = Gauge(
    "hilum_settle_window_seconds",
    "The quiet window in force of a peer: the configured one, or the one that its last studies teach.",
    "peer",
    merge=Merge.MAX,
)
ARRIVALS_COMPLETE = Counter("hilum_arrivals_complete_total", "Arrivals that were completed, by why: quiet, count, operator.", "peer", "by")
ROUTE = Histogram(
    "hilum_route_seconds", "Trying every route on every series of one arrival, and journaling what came of it.", buckets=_STEP_S
)
HELD = Counter(
    "hilum_series_held_total",
    "Series that routes wait for because they are known to be short: refused (by this node), count (the sender lists more), gap, torn.",
    "peer",
    "lack",
)
SPANS_SENT = Counter("hilum_traces_spans_total", "Spans that the collector of traces took (observe: traces).")
TRACES_PASSED_OVER = Counter(
    "hilum_traces_passed_over_total",
    "Events of the history older than an hour when they came to be told: the collector, or `observe: traces`, was away.",
)
ROUTING_FAILED = Counter(
    "hilum_arrivals_failed_total", "Attempts to route an arrival that failed; after three it is parked (hilum_arrivals).", "peer", "code"
)
UNMATCHED = Counter("hilum_arrivals_unmatched_total", "Arrivals with images of which no route took any series.", "peer")

# ---- analysing

QUEUE_WAIT = Histogram(
    "hilum_queue_wait_seconds", "From routing to the first time that a work process took the job.", "priority", buckets=_WAIT_S
)
ASSEMBLE = Histogram("hilum_assemble_seconds", "Decoding a series and assembling its volume.", "application", buckets=_WORK_S)
INFER = Histogram("hilum_infer_seconds", "The application's analysis, calls of its models included.", "application", buckets=_WORK_S)
ENCODE = Histogram(
    "hilum_encode_seconds", "Encoding the result objects, reading them back, checking and keeping them.", "application", buckets=_WORK_S
)
STATEMENTS = Counter(
    "hilum_statements_total",
    "Statements that an application gave no result of a study: not_attempted (images declined, or late) or failed.",
    "application",
    "status",
)
WITHDRAWALS = Counter(
    "hilum_withdrawals_total",
    "Notes that withdraw superseded results from an archive: wrong (made from wrong, mixed or incomplete images) or replaced.",
    "application",
    "reason",
)
JOBS_ENDED = Counter(
    "hilum_jobs_ended_total",
    "Jobs that ended: done (every delivery arrived), parked (a person decides), failed (attempts used up) or "
    "not_applicable (its application excludes such a series by its headers), with the error code if any.",
    "application",
    "state",
    "code",
)
JOB_RETRIES = Counter(
    "hilum_job_retries_total",
    "Jobs put off to be tried again; counted is no where the study is not to blame.",
    "application",
    "code",
    "counted",
)
ENGINE_CALL = Histogram("hilum_engine_call_seconds", "Calls of a model that were answered.", "engine", "model", buckets=_CALL_S)
ENGINE_CALLS = Counter("hilum_engine_calls_total", "Calls of a model by outcome: ok, or the error code.", "engine", "model", "outcome")
ENGINE_UP = Gauge(
    "hilum_engine_up", "1 while every work process finds the engine answering, else 0: its jobs wait.", "engine", merge=Merge.MIN
)
ENGINE_AT_ONCE = Gauge(
    "hilum_engine_calls_at_once", "Calls of a model that the engine computes at the same time.", "engine", "model", merge=Merge.MAX
)
ENGINE_QUEUE = Gauge(
    "hilum_engine_queue_seconds", "How long recent calls of a model waited in the engine's own queue.", "engine", "model", merge=Merge.MAX
)
MODEL_INFO = Gauge(
    "hilum_model_info", "1 for each model in use, with the first digits of its digest.", "engine", "model", "digest", merge=Merge.MAX
)

# ---- delivering

DELIVER = Histogram("hilum_deliver_seconds", "Sending the objects of one job to one sink, up to the last status.", "sink", buckets=_WORK_S)
DELIVERIES = Counter(
    "hilum_deliveries_total",
    "Attempts to deliver by outcome: delivered, retry, parked, lost (another process took over).",
    "sink",
    "outcome",
    "code",
)
COMMITMENTS = Counter(
    "hilum_commitments_total",
    "Storage commitment by peer. Asked of a sink: asked, refused; its reports: committed, again (objects are sent again), waits (asked "
    "again), parked, late, duplicate, unknown, stranger. Asked of this node: promised, declined.",
    "peer",
    "outcome",
)
DELIVERED_OBJECTS = Counter("hilum_delivered_objects_total", "Objects that a sink accepted.", "sink")
DELIVERED_BYTES = Counter("hilum_delivered_bytes_total", "Bytes of the objects that a sink accepted.", "sink")
FALLBACKS = Counter(
    "hilum_fallbacks_total",
    "Deliveries whose masks went in another form than the sink's profile asks for, by the form that went.",
    "sink",
    "form",
)
LEFT_OUT_OBJECTS = Counter(
    "hilum_left_out_objects_total",
    "Objects that a profile asks for and the sink takes in no form, where the profile does without.",
    "sink",
    "kind",
)
STUDY = Histogram(
    "hilum_study_seconds",
    "The whole way: from the last instance of a study (or series) to its results delivered. What an operator sends again does not count.",
    "application",
    "sink",
    buckets=(1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1800, 3600),
)

# ---- the processes

STAGE = Histogram("hilum_stage_seconds", "One turn of a stage that moved something.", "stage", buckets=_STEP_S)
STAGE_FAILURES = Counter("hilum_stage_failures_total", "Turns of a stage that failed; it pauses and is turned again.", "stage", "code")
WAKE_UPS = Counter("hilum_wake_ups_total", "Times that a process woke: ring (another told it), or sweep (nobody did).", "bell", "by")
PROCESS_UP = Fact("hilum_process_up", "1 while a process of the node runs and gives signs of life.", "process")
PROCESS_RESTARTS = Fact(
    "hilum_process_restarts_total", "Times that a process ended by itself and was started again.", "process", kind="counter"
)
PROCESS_BEAT = Fact("hilum_process_beat_age_seconds", "Since the last sign of life of each process in the journal.", "process")
PROCESS_MEMORY = Fact("hilum_process_resident_bytes", "Memory that a process holds.", "process")
PROCESS_CPU = Fact("hilum_process_cpu_seconds_total", "Processor time that a process has used.", "process", kind="counter")
BUILD = Fact(
    "hilum_build_info", "1, with the version, the interpreter, and the digest of the configuration.", "version", "python", "config"
)
CERTIFICATE = Fact(
    "hilum_certificate_expires_seconds",
    "Until a certificate, the last of the authorities in a file, or a revocation list expires; negative afterwards.",
    "file",
    "use",
)
REFUSED = Fact("hilum_metrics_refused_total", "Observations that were dropped because a label took too many values.", kind="counter")

# ---- what the journal says; where several nodes share it, each says the same: use max, not sum

JOURNAL_UP = Fact("hilum_journal_up", "1 while the journal answers.")
FACTS_AGE = Fact(
    "hilum_journal_facts_age_seconds",
    "How old the figures from the journal and the disk are; they are looked up every few seconds at most.",
)
FACTS_TOOK = Fact("hilum_journal_facts_seconds", "How long looking them up took.")
JOBS = Fact(
    "hilum_jobs",
    "Jobs by state: queued, inferred, encoded, parked, failed; ended ones are not counted.",
    "state",
    "priority",
    "application",
)
JOBS_OLDEST = Fact("hilum_jobs_oldest_seconds", "How long the oldest of them has been in that state.", "state", "priority", "application")
ARRIVALS = Fact("hilum_arrivals", "Arrivals not yet routed: received (more may come), complete, parked (for a person).", "state")
ARRIVALS_OLDEST = Fact("hilum_arrivals_oldest_seconds", "Since the oldest of them was opened.", "state")
WAITING = Fact("hilum_deliveries", "Deliveries by state: waiting, parked.", "sink", "state")
WAITING_OLDEST = Fact("hilum_deliveries_oldest_seconds", "How long the oldest of them has waited.", "sink", "state")
LEASES = Fact("hilum_leases", "Jobs and deliveries that a process holds now.", "subject")
INSTANCES_HELD = Fact("hilum_held_instances", "Received instances that wait for a person: another patient's, or another sender's series.")
PAUSED = Fact("hilum_paused", "1 for each route, sink or engine that the operator has paused.", "kind", "name")
JOURNAL_BYTES = Fact("hilum_journal_bytes", "Size of the journal.")

# ---- the disk

DISK_USED = Fact("hilum_disk_used_ratio", "Share in use, by whatever, of the disk under a folder of the store: blobs, spool.", "folder")
DISK_FREE = Fact("hilum_disk_free_bytes", "Free space there; below `min_free` where instances come in, senders are refused.", "folder")
INBOX = Fact("hilum_inbox_entries", "Received files that are not in the journal yet.")
INBOX_OLDEST = Fact("hilum_inbox_oldest_seconds", "How long the oldest of them has waited.")
ASIDE = Fact("hilum_aside_files", "Received files that could not be indexed and are kept for a person.")
