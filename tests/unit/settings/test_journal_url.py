"""`store: {journal: …}` for a server: what is read becomes what the driver is given, and no message repeats a password."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.assembly.configuration import load
from node.domain.errors import ConfigError
from node.journal.place import server


def _journal(folder: Path, url: str) -> str:
    path = folder / "hilum.yaml"
    path.write_text(f'store: {{journal: "{url}"}}\n', encoding="utf-8")
    return load(path, applications=()).store.journal


def test_the_password_file_counts_from_the_configuration(tmp_path: Path) -> None:
    """A relative path of a secret is found wherever the node is started from; the driver does not see our parameter."""
    url = _journal(tmp_path, "postgresql://hilum@db.hospital:5433/journal?password_file=secrets/db&sslmode=verify-full&sslrootcert=system")
    at = server(url)
    assert at.password_file == tmp_path / "secrets/db"
    assert dict(at.url.query) == {"sslmode": "verify-full", "sslrootcert": "system"}
    assert (at.url.username, at.url.host, at.url.port, at.url.database) == ("hilum", "db.hospital", 5433, "journal")
    assert at.name == "PostgreSQL database journal at db.hospital:5433"


def test_a_socket_is_named_by_its_folder(tmp_path: Path) -> None:
    """`host` as a parameter is a path, as libpq has it."""
    at = server(_journal(tmp_path, "postgresql://hilum@/journal?host=/run/postgresql"))
    assert at.url.query["host"] == "/run/postgresql"
    assert at.name == "PostgreSQL database journal at /run/postgresql"


PASSWORDS = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_characters='"\\', exclude_categories=["Cs", "Cc"]))


@pytest.mark.slow
@given(PASSWORDS)
def test_no_message_repeats_a_password(tmp_path_factory: pytest.TempPathFactory, password: str) -> None:
    """Whatever the operator forgot to escape: neither the refusal nor the journal's name shows any of it."""
    folder = tmp_path_factory.mktemp("config")
    with pytest.raises(ConfigError) as refused:
        _journal(folder, f"postgresql://hilum:Geheim{password}Geheim@db/hilum?sslmod=require")
    assert "Geheim" not in str(refused.value)
    assert "Geheim" not in server("postgresql://hilum:Geheim@db/hilum").name
