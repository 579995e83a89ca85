"""What jobs made: objects, the values that later studies are compared with, and what was withdrawn."""

from sqlalchemy import BigInteger, Column, Double, Index, Integer, Table

from node.journal.schema.columns import Micros, Words, metadata, reference, row_id

result_object = Table(
    "result_object",
    metadata,
    row_id("row id"),
    reference("job_id", "job", "the job that made it"),
    Column(
        "kind",
        Words,
        nullable=False,
        comment="seg | sr (measurements, evaluations) | detections (SR) | sc (page) | overlay (SC) | map | derived | registration | "
        "narrative (SR) | pdf | explanation | explanation-map | statement (SR: there is no result) | withdrawal (Key Object Selection)",
    ),
    Column("sop_instance_uid", Words, nullable=False, index=True, comment="derived SOP Instance UID; how an own result is recognised"),
    Column("sop_class_uid", Words, nullable=False, comment="SOP Class UID"),
    Column("series_instance_uid", Words, nullable=False, comment="derived Series Instance UID"),
    Column("description", Words, nullable=False, comment="series description for people"),
    Column("blob", Words, nullable=False, comment="name of the bytes in the blobs"),
    Column("size", BigInteger, nullable=False, comment="bytes of the Part 10 file"),
    Column("digest", Words, nullable=False, comment="SHA-256 (hex) of the file"),
    Column("purged_at", Micros, nullable=True, comment="when retention deleted the bytes; null while they are kept"),
    Column(
        "form",
        Words,
        nullable=False,
        server_default="",
        comment="of masks and the reports that refer to them: binary | labelmap | either with +<compression>; of narratives and pdf the "
        "language, with +<form> where they refer to masks that are not binary; empty for what has one form",
    ),
    Column("part", Words, nullable=False, server_default="", comment="the part of the series that it is about; empty for all of it"),
    Index("ix_result_object_job_id", "job_id"),
    comment="One encoded DICOM object; its bytes never change.",
)

measured_value = Table(
    "measured_value",
    metadata,
    reference("job_id", "job", "the job whose findings hold it", primary_key=True),
    Column("position", Integer, primary_key=True, comment="order in the findings"),
    Column("version", Words, nullable=False, comment="version of the application that measured it"),
    Column("part", Words, nullable=False, comment="the part of the series that it is about; empty for all of it"),
    Column("of", Words, nullable=False, comment="segment | total: of several segments together | series: of all that was analysed"),
    Column("structure", Words, nullable=False, comment="code and scheme of the segment, or of what several are together"),
    Column("laterality", Words, nullable=False, comment="code and scheme; empty where there is none"),
    Column("site", Words, nullable=False, comment="code and scheme of the finding site; empty where there is none"),
    Column("label", Words, nullable=False, comment="of the segment, or of the parts of a total, a line each"),
    Column("name", Words, nullable=False, comment="code and scheme of what was measured"),
    Column("unit", Words, nullable=False, comment="code and scheme of the unit"),
    Column("derivation", Words, nullable=False, comment="code and scheme (mean, maximum); empty where there is none"),
    Column("value", Double, nullable=False, comment="the number, exact as it was found"),
    comment="What a job measured that may stand beside a later study's value; bounds, lesions and detections are not kept.",
)

withdrawn_object = Table(
    "withdrawn_object",
    metadata,
    reference("job_id", "job", "the withdrawal", primary_key=True),
    reference("object_id", "result_object", "an object that its sink had accepted", primary_key=True),
    Index("ix_withdrawn_object_object_id", "object_id"),
    comment="Exactly what a withdrawal withdraws from its sink.",
)
