"""Instances as they were received, the headers that are kept of them, and what of them was set aside, deleted or erased."""

from sqlalchemy import BigInteger, Column, Index, Table, text

from node.journal.schema.columns import Micros, Words, metadata, reference, row_id

series_header = Table(
    "series_header",
    metadata,
    row_id("what instance.header_base names"),
    Column("series_instance_uid", Words, nullable=False, index=True, comment="the series whose first instance this is"),
    Column("content", Words, nullable=False, comment="JSON: DICOM keyword → list of values"),
    comment="The routing header of the first instance of a series; the others keep only their difference from it.",
)

patient_series = Table(
    "patient_series",
    metadata,
    Column("patient_id", Words, primary_key=True, comment="PatientID (0010,0020); never empty"),
    Column("issuer", Words, primary_key=True, comment="IssuerOfPatientID (0010,0021); empty where headers have none"),
    Column("series_instance_uid", Words, primary_key=True, index=True, comment="a series that an instance of this patient is of"),
    Column("study_instance_uid", Words, nullable=False, index=True, comment="the series' study"),
    Column("modality", Words, nullable=False, comment="Modality (0008,0060)"),
    Column("studied_at", Words, nullable=False, comment="when the study began, YYYYMMDDHHMMSS or a part; empty: unknown"),
    comment="Which series headers ever called a patient's: how priors are found. Whether they still do is asked of the headers themselves.",
)

instance = Table(
    "instance",
    metadata,
    row_id("row id"),
    Column("sop_instance_uid", Words, nullable=False, comment="SOP Instance UID (0008,0018)"),
    Column("sop_class_uid", Words, nullable=False, comment="SOP Class UID (0008,0016)"),
    Column("study_instance_uid", Words, nullable=False, comment="Study Instance UID (0020,000D)"),
    Column("series_instance_uid", Words, nullable=False, comment="Series Instance UID (0020,000E)"),
    Column("transfer_syntax_uid", Words, nullable=False, comment="Transfer Syntax UID (0002,0010) of the bytes kept"),
    Column("blob", Words, nullable=False, unique=True, comment="name of the bytes in the blobs"),
    Column("size", BigInteger, nullable=False, comment="bytes of the Part 10 file"),
    Column("digest", Words, nullable=False, comment="SHA-256 (hex) of the data set bytes as received, without file meta information"),
    Column("calling_ae", Words, nullable=False, comment="calling AE title of the association it came over"),
    Column("called_ae", Words, nullable=False, comment="called AE title of the association it came over"),
    Column("address", Words, nullable=False, comment="network address of the sender"),
    Column("peer", Words, nullable=False, comment="the peer of the configuration that sent it; empty for a stranger"),
    Column("received_at", Micros, nullable=False, comment="when its bytes were durable"),
    Column(
        "standing",
        Words,
        nullable=False,
        comment="current: jobs use it | replaced: corrected bytes came later | conflict: same UID, other pixels | purged: bytes deleted | "
        "held: waits for a person | refused: a person said no | result: another hilum node made it, in no arrival",
    ),
    Column(
        "held_for",
        Words,
        nullable=True,
        comment="identity: another patient or study than its series has | added: to a series that another sender sent first | "
        "rewritten: other bytes under a UID that another sender sent first; null for what was never held",
    ),
    Column(
        "whose",
        Words,
        nullable=False,
        server_default="",
        comment="SHA-256 over its study and the patient whom its header names, neither of which it tells; empty: not known",
    ),
    Column("standing_kept", Words, nullable=True, comment="the standing before purged; what a restored instance gets back"),
    reference("header_base", "series_header", "the header it differs from; null once headers are forgotten", nullable=True),
    Column("header_delta", Words, nullable=True, comment="JSON: {set: {keyword: values}, drop: [keyword]} against header_base"),
    comment="One composite instance as it was received. A purged row is the tombstone that stays.",
)
Index("uq_instance_bytes", instance.c.sop_instance_uid, instance.c.digest, unique=True)
Index(
    "uq_instance_current",
    instance.c.sop_instance_uid,
    unique=True,
    sqlite_where=text("standing = 'current'"),
    postgresql_where=text("standing = 'current'"),
)
Index("ix_instance_age", instance.c.standing, instance.c.received_at)
Index("ix_instance_series", instance.c.series_instance_uid, instance.c.standing, instance.c.whose)
Index("ix_instance_header_base", instance.c.header_base)
Index(
    "ix_instance_other_result",
    instance.c.study_instance_uid,
    sqlite_where=text("coalesce(standing_kept, standing) = 'result'"),
    postgresql_where=text("coalesce(standing_kept, standing) = 'result'"),
)

other_result = Table(
    "other_result",
    metadata,
    reference("instance_id", "instance", "the result", primary_key=True),
    Column(
        "device_uid",
        Words,
        nullable=False,
        comment="InstanceCreatorUID (0008,0014): application and model file that made it, alike on every node; empty: it says none",
    ),
    comment="Results of other hilum nodes: by what they were made.",
)

other_result_series = Table(
    "other_result_series",
    metadata,
    reference("instance_id", "instance", "the result", primary_key=True),
    Column("series_instance_uid", Words, primary_key=True, comment="Series Instance UID (0020,000E) of a series that it refers to"),
    comment="Results of other hilum nodes: from which series they were made.",
)

aside = Table(
    "aside",
    metadata,
    row_id("row id"),
    Column("at", Micros, nullable=False, comment="when it was set aside"),
    Column("entry", Words, nullable=False, unique=True, comment="name of the file, where the inbox keeps such files"),
    Column("sender", Words, nullable=False, comment="calling AE title and address as far as known"),
    Column("code", Words, nullable=False, comment="error code"),
    Column("reason", Words, nullable=False, comment="why it cannot be indexed"),
    Column(
        "patient_id",
        Words,
        nullable=False,
        server_default="",
        index=True,
        comment="PatientID (0010,0020) as far as it can be read; empty: unknown",
    ),
    Column("issuer", Words, nullable=False, server_default="", comment="IssuerOfPatientID (0010,0021); empty: unknown"),
    Column("accession", Words, nullable=False, server_default="", comment="AccessionNumber (0008,0050); empty: unknown"),
    Column(
        "study_instance_uid",
        Words,
        nullable=False,
        server_default="",
        index=True,
        comment="Study Instance UID (0020,000D); empty: it names none, or none that can be read",
    ),
    Column(
        "series_instance_uid",
        Words,
        nullable=False,
        server_default="",
        index=True,
        comment="Series Instance UID (0020,000E); likewise",
    ),
    comment="Received files that are no readable instances: kept, reported, never analysed.",
)

tombstone = Table(
    "tombstone",
    metadata,
    row_id("row id"),
    Column("blob", Words, nullable=False, comment="name of the bytes that are to be deleted"),
    Column("at", Micros, nullable=False, comment="when retention decided it"),
    comment="Bytes to be deleted, committed before they are; the row goes when they are gone.",
)

erased = Table(
    "erased",
    metadata,
    Column("mark", Words, primary_key=True, comment="SHA-256 over the study and its patient; it names neither"),
    Column("until", Micros, nullable=False, comment="until when what comes under it is dropped; then the row goes too"),
    comment="Studies that were erased on request not long ago.",
)
