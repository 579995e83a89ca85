"""Files that were set aside say whose they are, to be told near the study; results of other nodes are found by their study."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

_ADDED = {
    "patient_id": "PatientID (0010,0020) as far as it can be read; empty: unknown",
    "issuer": "IssuerOfPatientID (0010,0021); empty: unknown",
    "accession": "AccessionNumber (0008,0050); empty: unknown",
    "study_instance_uid": "Study Instance UID (0020,000D); empty: it names none, or none that can be read",
    "series_instance_uid": "Series Instance UID (0020,000E); likewise",
}


def upgrade() -> None:
    """Of what was set aside before nobody knows whose it is."""
    for name, comment in _ADDED.items():
        op.add_column("aside", sa.Column(name, sa.Text(), nullable=False, server_default="", comment=comment))
    op.create_index("ix_aside_patient_id", "aside", ["patient_id"])
    op.create_index("ix_aside_study_instance_uid", "aside", ["study_instance_uid"])
    op.create_index("ix_aside_series_instance_uid", "aside", ["series_instance_uid"])
    result = sa.text("coalesce(standing_kept, standing) = 'result'")
    op.create_index("ix_instance_other_result", "instance", ["study_instance_uid"], sqlite_where=result, postgresql_where=result)
