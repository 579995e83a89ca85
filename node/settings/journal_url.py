"""The kind of `store: {journal: …}`: a file of SQLite, or a database on a PostgreSQL server.

No message repeats the URL: it may hold a password.
"""

import re
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from ruamel.yaml.nodes import Node

from node.settings.errors import BadValue, UnknownKey
from node.settings.kinds import FilePath, Schema
from node.settings.source import Here, Refused, scalar_text, suggestion

_FILES = ("password_file", "passfile", "sslrootcert", "sslcert", "sslkey")
_PARAMETERS = (*_FILES, "host", "sslmode", "channel_binding", "target_session_attrs", "connect_timeout")
_SQLITE, _SERVER = "sqlite:", "postgresql://"


class JournalUrl:
    """`sqlite:` and a path, or `postgresql://user@host:port/database`; paths in it become absolute.

    The password stands in the URL, in the file that the parameter `password_file` names, in libpq's `passfile`, or in the environment
    (PGPASSWORD, PGPASSFILE).
    """

    def __init__(self) -> None:
        self.wants = "`sqlite:` and a path, or `postgresql://user@host/database`"
        self._path = FilePath(_SQLITE)

    def read(self, at: Node, here: Here) -> str:
        text = scalar_text(at, here, self.wants)
        if text.startswith(_SQLITE):
            return f"{_SQLITE}{self._path.read(at, here)}"
        if text.startswith(_SERVER):
            return self._server(text, at, here)
        raise here.refuse(BadValue, at, f"begins with neither {_SQLITE} nor {_SERVER}")

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^({_SQLITE}.|{_SERVER}.*/.)"}

    def _server(self, text: str, at: Node, here: Here) -> str:
        if "#" in text:
            raise here.refuse(BadValue, at, 'holds a bare "#"; in a password write %23')
        try:
            parts = urlsplit(text)
        except ValueError as unfit:
            raise here.refuse(BadValue, at, "the host in brackets is no IPv6 address") from unfit
        try:
            port = parts.port
        except ValueError as unfit:
            raise here.refuse(BadValue, at, "the port is no number up to 65535") from unfit
        if port == 0:
            raise here.refuse(BadValue, at, "port 0 is no port to connect to")
        if not re.fullmatch(r"/[^/]+", parts.path):
            raise here.refuse(BadValue, at, "names no database; write postgresql://user@host/database")
        return urlunsplit((parts.scheme, parts.netloc, parts.path, self._query(parts.query, at, here), ""))

    @staticmethod
    def _query(query: str, at: Node, here: Here) -> str:
        try:
            asked = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
        except ValueError as unfit:
            raise here.refuse(BadValue, at, "has parameters that are not written name=value&name=value") from unfit
        sound = True
        found: dict[str, str] = {}
        for name, value in asked:
            if name not in _PARAMETERS:
                here.refuse(UnknownKey, at, f'unknown parameter "{name}"{suggestion(name, _PARAMETERS)}')
                sound = False
            # "system" is libpq's word for the certificates of the operating system
            is_path = name in _FILES and not (name == "sslrootcert" and value == "system")
            found[name] = str((here.folder / Path(value).expanduser()).absolute()) if is_path else value
        if not sound:
            raise Refused
        return urlencode(found, quote_via=quote, safe="/:,")
