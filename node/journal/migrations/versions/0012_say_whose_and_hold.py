"""Instances say by a digest whose they are, and what was added to or rewrites another sender's series is held."""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_STANDINGS = (
    "current: jobs use it | replaced: corrected bytes came later | conflict: same UID, other pixels | purged: bytes deleted | "
    "held: waits for a person | refused: a person said no"
)
_NAMING = ("PatientID", "IssuerOfPatientID")


def upgrade() -> None:
    """Of what was received before, what is held is nothing, and whose it is its header says, as long as that is kept."""
    op.add_column(
        "instance",
        sa.Column(
            "held_for",
            sa.Text(),
            nullable=True,
            comment="identity: another patient or study than its series has | added: to a series that another sender sent first | "
            "rewritten: other bytes under a UID that another sender sent first; null for what was never held",
        ),
    )
    # a default, so that a node of the release before goes on inserting until it is replaced too
    op.add_column(
        "instance",
        sa.Column(
            "whose",
            sa.Text(),
            nullable=False,
            server_default="",
            comment="SHA-256 over its study and the patient whom its header names, neither of which it tells; empty: not known",
        ),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("instance", "standing", comment=_STANDINGS, existing_nullable=False)
    _say_whose()
    op.create_index("ix_instance_series", "instance", ["series_instance_uid", "standing", "whose"])


def _say_whose() -> None:
    """Nearly all instances of a series say what its first one does: one statement for these, one for each that says otherwise."""
    connection = op.get_bind()
    of_base = sa.text("UPDATE instance SET whose = :whose WHERE header_base = :base AND study_instance_uid = :study")
    studies = sa.text("SELECT DISTINCT study_instance_uid FROM instance WHERE header_base = :base")
    headers = {}
    for row in connection.execute(sa.text("SELECT id, content FROM series_header")).all():
        headers[row.id] = said = {keyword: json.loads(row.content).get(keyword, []) for keyword in _NAMING}
        for study in connection.execute(studies, {"base": row.id}).scalars().all():
            connection.execute(of_base, {"whose": _mark(study, said), "base": row.id, "study": study})
    otherwise = sa.text("SELECT id, study_instance_uid, header_base, header_delta FROM instance WHERE header_delta LIKE '%PatientID%'")
    for row in connection.execute(otherwise).all():
        delta = json.loads(row.header_delta)
        kept = {keyword: values for keyword, values in headers[row.header_base].items() if keyword not in delta["drop"]}
        said = kept | {keyword: delta["set"][keyword] for keyword in _NAMING if keyword in delta["set"]}
        mark = {"whose": _mark(row.study_instance_uid, said), "id": row.id}
        connection.execute(sa.text("UPDATE instance SET whose = :whose WHERE id = :id"), mark)


def _mark(study: str, said: dict[str, list[str]]) -> str:
    ids, issuers = (list(dict.fromkeys(text for value in said.get(keyword, []) if (text := str(value).strip()))) for keyword in _NAMING)
    named = len(ids) == 1 and len(issuers) <= 1
    whose = f"of\n{ids[0]}\n{issuers[0] if issuers else ''}" if named else "nobody"
    return hashlib.sha256(f"{study}\n{whose}".encode("utf-8", "surrogatepass")).hexdigest()
