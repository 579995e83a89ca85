"""Certificates as a hospital's authority signs them, made with the openssl program: chains, expired ones, weak ones, those of strangers."""

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.lab.needs import program

_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A certificate (with what lies between it and its authority) and its private key, as PEM files."""

    certificate: Path
    key: Path

    def fingerprint(self) -> str:
        """SHA-256 as openssl prints it: pairs of capital hexadecimal digits and colons."""
        return openssl("x509", "-in", self.certificate, "-noout", "-fingerprint", "-sha256").partition("=")[2].strip()

    def subject(self) -> str:
        """The subject as openssl writes it by RFC 2253."""
        return openssl("x509", "-in", self.certificate, "-noout", "-subject", "-nameopt", "RFC2253").partition("=")[2].strip()


def openssl(*arguments: str | Path, check: bool = True) -> str:
    """Run openssl; what it said."""
    done = subprocess.run(
        [str(program("openssl", "openssl")), *(str(argument) for argument in arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"openssl {arguments[0]}: {done.stderr.decode()}")
    return done.stdout.decode()


class Authority:
    """A certificate authority in a folder; `below` signs it, else it signs itself."""

    def __init__(self, folder: Path, name: str = "Hospital CA", *, below: "Authority | None" = None) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.above = below
        self._count = 0
        self.certificate, self._key = folder / "ca.pem", folder / "ca.key"
        extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
        if below is None:
            more = [word for extension in extensions for word in ("-addext", extension)]
            subject = f"/O=Hospital/CN={name}"
            openssl("req", "-x509", *_EC, "-nodes", "-days", "30", "-subj", subject, *more, "-keyout", self._key, "-out", self.certificate)
        else:
            below._sign(self.certificate, self._key, f"/O=Hospital/CN={name}", extensions, valid=(-1, 30), key=_EC)
        self._key.chmod(0o600)

    def signs(
        self,
        name: str,
        *,
        alternative: str = "DNS:localhost,IP:127.0.0.1",
        days: tuple[float, float] = (-1, 30),
        key: tuple[str, ...] = _EC,
        digest: str = "sha256",
    ) -> Identity:
        """A new certificate for `name`, valid between `days` from now, with the chain up to the top authority."""
        self._count += 1
        certificate, private = self.folder / f"{self._count}.pem", self.folder / f"{self._count}.key"
        extensions = [f"subjectAltName={alternative}"] if alternative else ["keyUsage=digitalSignature"]
        self._sign(certificate, private, f"/O=Hospital/CN={name}", extensions, valid=days, key=key, digest=digest)
        if self.above is not None:
            certificate.write_bytes(certificate.read_bytes() + self.certificate.read_bytes())
        private.chmod(0o600)
        return Identity(certificate=certificate, key=private)

    def revokes(self, *identities: Identity) -> Path:
        """The authority's revocation list, with these certificates on it."""
        index, settings, made = self.folder / "index.txt", self.folder / "ca.cnf", self.folder / "revoked.pem"
        index.touch()
        settings.write_text(f"[ca]\ndefault_ca=x\n[x]\ndatabase={index}\ndefault_md=sha256\ndefault_crl_days=30\n")
        signed = ("-config", settings, "-keyfile", self._key, "-cert", self.certificate)
        for identity in identities:
            openssl("ca", *signed, "-revoke", identity.certificate)
        openssl("ca", *signed, "-gencrl", "-out", made)
        return made

    def _sign(
        self,
        certificate: Path,
        private: Path,
        subject: str,
        extensions: list[str],
        *,
        valid: tuple[float, float],
        key: tuple[str, ...],
        digest: str = "sha256",
    ) -> None:
        request, more = certificate.with_suffix(".csr"), certificate.with_suffix(".ext")
        more.write_text("\n".join(extensions) + "\n")
        openssl("req", "-new", *key, "-nodes", "-subj", subject, "-keyout", private, "-out", request)
        begin, end = (f"{datetime.now(UTC) + timedelta(days=days):%Y%m%d%H%M%SZ}" for days in valid)
        database, settings, folder = self.folder / "signed.txt", self.folder / "sign.cnf", self.folder / "signed"
        folder.mkdir(exist_ok=True)
        database.touch()
        (self.folder / "signed.txt.attr").write_text("unique_subject = no\n")
        settings.write_text(
            f"[ca]\ndefault_ca=x\n[x]\ndatabase={database}\nnew_certs_dir={folder}\nrand_serial=yes\ndefault_md={digest}\npolicy=p\n"
            "[p]\norganizationName=optional\ncommonName=supplied\n"
        )
        signed = ("-batch", "-notext", "-config", settings, "-keyfile", self._key, "-cert", self.certificate)
        openssl("ca", *signed, "-startdate", begin, "-enddate", end, "-in", request, "-extfile", more, "-out", certificate)
