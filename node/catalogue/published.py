"""Lists of published models: what each is called, where its files lie, what they must be, and under which licences it may be used.

One list comes with hilum (models.yaml beside this file). A hospital may have its own before it, signed with Ed25519 (RFC 8032) by whoever
wrote it: a mirror of what the hospital has looked at, or models of its own. A signed list bears a serial, and one with a smaller serial
than the last that was taken is refused: what its signer has withdrawn does not come back with its signature.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from inference.applications.port import Licences
from node.domain.errors import ConfigError
from node.settings.app_values import AXES
from node.settings.app_yaml import LICENCE
from node.settings.blocks import Block, Items, Named, Nodes, Values, block, needed, setting
from node.settings.config import OwnList
from node.settings.kinds import TEXT, Scalar, is_loopback, whole
from node.settings.source import BadValue, Here, MissingKey, Refused, parse, read

SHIPPED: Final = Path(__file__).with_name("models.yaml")
"""The list that comes with hilum."""
_SIGNATURE = ".sig"
_SIGNATURE_BYTES = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}")
_APP = "app.yaml"


class ListRefused(ConfigError):
    """A list of published models is wrong; `problems` holds what is, in the order of the file."""

    code = "HLM-2023"
    remedy = "Correct the lines of the list that `models: {catalogue: …}` names; docs/reference/catalogue.md lists every key."

    def __init__(self, problems: Sequence[ConfigError]) -> None:
        super().__init__("\n".join(f"{problem} [{problem.code}]" for problem in problems))
        self.problems = tuple(problems)


class UnsignedList(ConfigError):
    """A list of published models is not signed by the key that the configuration names, or not at all; nothing of it is taken."""

    code = "HLM-2024"
    remedy = (
        "Get list and signature anew from whoever signs it, together, and compare the key with theirs. To sign: `openssl pkeyutl -sign "
        "-rawin -inkey KEY -in LIST -out LIST.sig`."
    )


class OldList(ConfigError):
    """A signed list of published models is older than the last one that was taken here, or does not say how old it is."""

    code = "HLM-2025"
    remedy = (
        "Get the newest list from whoever signs it, with its signature. Whoever signs gives each list a larger `serial: NUMBER` than the "
        "one before; a list that goes back to earlier models gets a new serial, too."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFile:
    """One file of a published model.

    Attributes
    ----------
    name
        What it is called here.
    url
        Over TLS; on this machine also without.
    size
        Bytes; None where nobody says it.
    sha256, sha1
        Hexadecimal; None where they are not known. SHA-1 is what some publishers give: it is compared, and is no reason to trust a file.
    becomes
        What the model is called in the repository; "" leaves it to the import.
    """

    name: str
    url: str
    size: int | None
    sha256: str | None
    sha1: str | None
    becomes: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedModel:
    """One model of a list.

    Attributes
    ----------
    source
        Where its publisher describes it.
    application
        The application that comes with hilum and takes its files as weights; "" where it becomes one of its own.
    licences
        None with `application`, which says them itself.
    orientation, modality
        As of `hilum models import`, where its files do not say them; "" where they do, or where nobody knows.
    unserved
        Why no import takes it; "" where one does.
    note
        What whoever uses it should know besides.
    """

    name: str
    title: str
    source: str
    files: tuple[PublishedFile, ...]
    application: str
    licences: Licences | None
    attribution: str
    orientation: str
    modality: str
    unserved: str
    note: str

    @property
    def described(self) -> bool:
        """Whether its files are a folder with an app.yaml, which is imported as one."""
        return any(file.name == _APP for file in self.files)


# ---- the file


def _hexadecimal(length: int, called: str) -> Scalar[str]:
    def parse(text: str) -> str:
        if not re.fullmatch(rf"[0-9a-f]{{{length}}}", text):
            raise ValueError(f'"{text}" is no {called}: {length} hexadecimal digits, in lower case')
        return text

    return Scalar(wants=f"a {called} in hexadecimal", parse=parse, form={"type": "string", "pattern": f"^[0-9a-f]{{{length}}}$"})


def _address(text: str) -> str:
    parts = urlsplit(text)
    near = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not (parts.scheme == "https" or near) or not parts.hostname or "@" in parts.netloc or re.search(r"\s", text) or not text.isascii():
        raise ValueError(f'"{text}" is no address to fetch from; write https://host/path, without a login')
    return text


def _file_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f'"{text}" is no name of a file: letters, digits, dots, hyphens and underscores')
    return text


_URL = Scalar(wants="an address `https://host/path`", parse=_address, form={"type": "string", "pattern": "^https?://."})
_FILE_NAME = Scalar(wants="the name of a file", parse=_file_name, form={"type": "string", "minLength": 1})


@dataclass(frozen=True, slots=True, kw_only=True)
class _FileEntry:
    url: str = field(metadata=needed(_URL, says="Where it lies, over TLS. What it leads to has to be reached over TLS, too."))
    name: str | None = setting(_FILE_NAME, says="What it is called here; without it, as in its address.")
    size: int | None = setting(whole(1, 2**40), says="Its bytes. Another size is refused before it is fetched.")
    sha256: str | None = setting(
        _hexadecimal(64, "SHA-256"),
        says="Its digest. Without it nothing is imported before an operator has accepted the digest of what came (`--accept-digest`).",
    )
    sha1: str | None = setting(
        _hexadecimal(40, "SHA-1"), says="A digest that its publisher gives, compared as well; it does not stand for `sha256`."
    )
    becomes: str | None = setting(_FILE_NAME, name="as", says="What the model is called in the repository, and the application.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _ModelEntry:
    title: str = field(metadata=needed(TEXT, says="What it is, for people."))
    source: str = field(metadata=needed(_URL, says="Where its publisher describes it."))
    files: tuple[Any, ...] = field(
        metadata=needed(
            Items(noun="file", of=block(_FileEntry, build=_FileEntry)),
            says="Its files. Each is a model of its own, but for those of an `application`, and where one is an app.yaml.",
        )
    )
    application: str | None = setting(TEXT, says="The application of hilum whose weights they are; it says its licences itself.")
    licence: Licences | None = setting(LICENCE, says="Three licences, and what follows for commercial use.")
    attribution: str = setting(TEXT, default='""', says="Who made it.")
    orientation: str | None = setting(
        AXES,
        says="How the images of its training lay, where its files do not say it.",
    )
    modality: str | None = setting(TEXT, says="Of what it takes, where its files do not say it.")
    unserved: str | None = setting(TEXT, says="Why hilum cannot serve it, in a sentence; its files are fetched with `--only`.")
    note: str | None = setting(TEXT, says="What whoever uses it should know.")


def _whole_entry(values: Values, nodes: Nodes, here: Here) -> None:
    if not values["files"]:
        raise here.about("files").refuse(MissingKey, nodes["files"], "names no file")
    if (values["application"] is None) == (values["licence"] is None):
        if values["licence"] is None:
            raise here.refuse(MissingKey, nodes["title"], 'needs the key "licence": what it may be used for has to be known before')
        raise here.about("licence").refuse(BadValue, nodes["licence"], "stands beside `application`, which says it itself")
    names = [_named(one) for one in values["files"]]
    unfit = next((name for name in names if not _NAME.fullmatch(name)), None)
    if unfit is not None:
        raise here.about("files").refuse(
            BadValue, nodes["files"], f'"{unfit}", as the address ends, is no name of a file; give one: `name`'
        )
    if len(set(names)) < len(names):
        raise here.about("files").refuse(BadValue, nodes["files"], "two of them have one name")


def _named(said: _FileEntry) -> str:
    return said.name or unquote(urlsplit(said.url).path).rpartition("/")[2]


def _model(name: str, **given: Any) -> PublishedModel:
    said = _ModelEntry(**given)
    return PublishedModel(
        name=name,
        title=said.title,
        source=said.source,
        files=tuple(
            PublishedFile(name=_named(one), url=one.url, size=one.size, sha256=one.sha256, sha1=one.sha1, becomes=one.becomes or "")
            for one in said.files
        ),
        application=said.application or "",
        licences=said.licence,
        attribution=said.attribution,
        orientation=said.orientation or "",
        modality=said.modality or "",
        unserved=said.unserved or "",
        note=said.note or "",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _List:
    models: Mapping[str, PublishedModel] = field(
        metadata=needed(
            Named(noun="model", of=block(_ModelEntry, build=_model, check=_whole_entry)),
            says="The models, by the names that `hilum models fetch` takes.",
        )
    )
    serial: int | None = setting(
        whole(1, 2**53),
        says="Larger than that of the list before, as a date (20260131) is; a signed list needs one, and a list with a smaller serial "
        "than the last that was fetched by is refused.",
    )


WHOLE: Block[_List] = block(_List, build=_List)
"""All of a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The models of all lists by name, those of the hospital's own before hilum's; `serial` is that of its own, where it has one."""

    models: Mapping[str, PublishedModel]
    serial: int | None = None


def published(own: OwnList | None, last: int = 0) -> Published:
    """What all lists say.

    Parameters
    ----------
    last
        The serial of the newest signed list that was taken here (`node.catalogue.fetched.last_serial`).

    Raises
    ------
    ConfigMissing, ConfigSyntax, ListRefused, UnsignedList, OldList
    """
    shipped = _read(SHIPPED, read(SHIPPED))
    if own is None:
        return Published(models=shipped.models)
    content = read(own.path)
    if own.public_key is not None:
        _demand_signed(own.path, content, own.public_key)
    said = _read(own.path, content)
    if own.public_key is not None and (said.serial or 0) < max(last, 1):
        before = f"older than the list of serial {last} that was taken here" if last else "a signed list says by it which one is newer"
        raise OldList(f"{own.path}: {f'serial {said.serial}' if said.serial else 'no `serial`'}: {before}")
    return Published(models={**shipped.models, **said.models}, serial=said.serial)


def _read(path: Path, content: bytes) -> _List:
    here = Here(file=str(path), folder=path.parent)
    try:
        return WHOLE.read(parse(content, path), here)
    except Refused as refused:
        problems: list[ConfigError] = [problem for _, _, problem in sorted(here.problems, key=lambda found: found[:2])]
        raise ListRefused(problems) from refused


def signature_of(path: Path) -> Path:
    """Where the signature of a list lies."""
    return path.with_name(path.name + _SIGNATURE)


def _demand_signed(path: Path, content: bytes, key: bytes) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    beside = signature_of(path)
    try:
        signature = beside.read_bytes()
    except OSError as absent:
        raise UnsignedList(f"{path}: not signed: {beside.name} beside it: {absent.strerror}") from absent
    if len(signature) != _SIGNATURE_BYTES:
        raise UnsignedList(f"{path}: {beside.name} is no Ed25519 signature: it has {len(signature)} bytes, not {_SIGNATURE_BYTES}")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, content)
    except InvalidSignature as other:
        raise UnsignedList(f"{path}: not signed by the key of `models: {{catalogue: …}}`, or changed since") from other
