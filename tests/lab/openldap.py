"""OpenLDAP's slapd as a hospital's directory: people, groups, a login for the node, TLS by an authority of the laboratory."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ldap3

from tests.lab.certificates import Authority
from tests.lab.loopback import free_port
from tests.lab.needs import file, program
from tests.lab.program import Program, wait_until

SUFFIX = "dc=hospital,dc=example"
PEOPLE, GROUPS = f"ou=people,{SUFFIX}", f"ou=groups,{SUFFIX}"
NODE, NODE_PASSCODE = f"cn=hilum,{SUFFIX}", "the node's own passcode"
_ROOT, _ROOT_PASSCODE = f"cn=root,{SUFFIX}", "root of the laboratory"
_SCHEMAS = Path("/etc/ldap/schema")
_SETTINGS = """
{schemas}
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
{tls}
database mdb
suffix "{suffix}"
rootdn "{root}"
rootpw "{passcode}"
directory {folder}/db
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{node}" read by anonymous auth by * none
"""


@dataclass(slots=True)
class OpenLdap:
    """A directory that runs. `authority` signed its certificate, which names localhost."""

    port: int
    tls_port: int
    authority: Path
    process: Program

    @property
    def url(self) -> str:
        """Where it speaks TLS from the first byte on."""
        return f"ldaps://localhost:{self.tls_port}"

    @property
    def starttls_url(self) -> str:
        """Where TLS begins when it is asked for."""
        return f"ldap://localhost:{self.port}"

    def change(self, name: str, **attributes: str) -> None:
        """Give a person other values."""
        with self._root() as connection:
            assert connection.modify(
                f"uid={name},{PEOPLE}", {key: [(ldap3.MODIFY_REPLACE, [value])] for key, value in attributes.items()}
            ), connection.result

    def move(self, name: str, *, out_of: str, into: str) -> None:
        """Take a person out of a group, and put it into another one."""
        dn = f"uid={name},{PEOPLE}"
        with self._root() as connection:
            assert connection.modify(f"cn={into},{GROUPS}", {"member": [(ldap3.MODIFY_ADD, [dn])]}), connection.result
            assert connection.modify(f"cn={out_of},{GROUPS}", {"member": [(ldap3.MODIFY_DELETE, [dn])]}), connection.result

    def rename(self, name: str, to: str) -> None:
        """Give a person another name; the entry stays the same one, in the same groups."""
        before, since = f"uid={name},{PEOPLE}", f"uid={to},{PEOPLE}"
        with self._root() as connection:
            assert connection.modify_dn(before, f"uid={to}"), connection.result
            connection.search(GROUPS, f"(member={before})")
            for group in [one.entry_dn for one in connection.entries]:
                change = {"member": [(ldap3.MODIFY_DELETE, [before]), (ldap3.MODIFY_ADD, [since])]}
                assert connection.modify(group, change), connection.result

    def _root(self) -> ldap3.Connection:
        return ldap3.Connection(ldap3.Server("127.0.0.1", port=self.port), _ROOT, _ROOT_PASSCODE, auto_bind=True)


@contextmanager
def directory(folder: Path, people: dict[str, tuple[str, ...]], *, password: str, alternative: str = "DNS:localhost") -> Iterator[OpenLdap]:
    """A directory of people, by name and groups; each has this password. Every group has one more member, as `groupOfNames` demands one."""
    slapd = program("slapd", "slapd")
    folder.mkdir(parents=True)
    (folder / "db").mkdir()
    authority = Authority(folder / "authority", "Directory CA")
    shown = authority.signs("directory", alternative=alternative)
    schemas = "\n".join(f"include {file(_SCHEMAS / f'{one}.schema', 'slapd')}" for one in ("core", "cosine", "inetorgperson"))
    tls = f"TLSCACertificateFile {authority.certificate}\nTLSCertificateFile {shown.certificate}\nTLSCertificateKeyFile {shown.key}"
    settings = folder / "slapd.conf"
    settings.write_text(
        _SETTINGS.format(schemas=schemas, folder=folder, tls=tls, suffix=SUFFIX, root=_ROOT, passcode=_ROOT_PASSCODE, node=NODE)
    )
    settings.chmod(0o600)
    adding = [str(slapd), "-T", "add", "-f", str(settings)]
    written = subprocess.run(adding, input=_ldif(people, password), text=True, capture_output=True, timeout=60, check=False)
    assert written.returncode == 0, written.stderr
    port, tls_port = free_port(), free_port()
    process = Program(
        [slapd, "-d", "0", "-f", settings, "-h", f"ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port}"], folder / "slapd.log"
    )
    found = OpenLdap(port=port, tls_port=tls_port, authority=authority.certificate, process=process)
    try:
        wait_until(lambda: _answers(port), 30, "slapd answers")
        yield found
    finally:
        process.kill()


def _answers(port: int) -> bool:
    try:
        return bool(ldap3.Connection(ldap3.Server("127.0.0.1", port=port), _ROOT, _ROOT_PASSCODE).bind())
    except ldap3.core.exceptions.LDAPException:
        return False


def _ldif(people: dict[str, tuple[str, ...]], password: str) -> str:
    entries = [
        f"dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Hospital\ndc: hospital",
        f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people",
        f"dn: {GROUPS}\nobjectClass: organizationalUnit\nou: groups",
        f"dn: {NODE}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: hilum\nuserPassword: {NODE_PASSCODE}",
    ]
    person = "dn: uid={0},{1}\nobjectClass: inetOrgPerson\nuid: {0}\ncn: {0}\nsn: {0}\nemployeeType: staff\nuserPassword: {2}"
    entries += [person.format(name, PEOPLE, password) for name in people]
    for group in sorted({group for groups in people.values() for group in groups}):
        members = [f"uid={name},{PEOPLE}" for name, groups in people.items() if group in groups]
        lines = "\n".join(f"member: {one}" for one in (NODE, *members))
        entries.append(f"dn: cn={group},{GROUPS}\nobjectClass: groupOfNames\ncn: {group}\n{lines}")
    return "\n\n".join(entries) + "\n"
