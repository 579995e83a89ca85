"""Headers at rest: the first of a series whole, the others as their difference from it, because a series repeats itself."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from node.domain.instance import Header, Value
from node.journal import schema


def _text(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def whole(header: Header) -> str:
    """A header as the base of others, as JSON."""
    return _text(dict(header))


def difference(base: Header, header: Header) -> str:
    """What turns `base` into `header`, as JSON."""
    changed = {keyword: values for keyword, values in header.items() if base.get(keyword) != values}
    dropped = [keyword for keyword in base if keyword not in header]
    return _text({"set": changed, "drop": dropped})


_NO_DIFFERENCE = difference({}, {})
"""Of the first instance of a series: most of what is read where only few of each are kept."""


def _tuples(content: Mapping[str, list[Value]]) -> dict[str, tuple[Value, ...]]:
    return {keyword: tuple(values) for keyword, values in content.items()}


def bases(connection: Connection, ids: Collection[int], keywords: Collection[str] | None = None) -> dict[int, Header]:
    """The whole headers under `ids`; of them `keywords` alone, where these are given."""
    rows = connection.execute(select(schema.series_header).where(schema.series_header.c.id.in_(list(ids)))) if ids else ()
    return {row.id: _tuples(_only(json.loads(row.content), keywords)) for row in rows}


def restored(row: Row[Any], known: Mapping[int, Header], keywords: Collection[str] | None = None) -> Header:
    """The header of one instance row; empty once retention forgot it."""
    if row.header_base is None:
        return {}
    if row.header_delta == _NO_DIFFERENCE:
        return known[row.header_base]
    delta = json.loads(row.header_delta)
    header = {keyword: values for keyword, values in known[row.header_base].items() if keyword not in delta["drop"]}
    return header | _tuples(_only(delta["set"], keywords))


def _only(content: dict[str, list[Value]], keywords: Collection[str] | None) -> dict[str, list[Value]]:
    return content if keywords is None else {keyword: content[keyword] for keyword in keywords if keyword in content}


class Bases:
    """The base headers that one transaction writes against: found in the journal, or made from the first instance of a series."""

    def __init__(self, connection: Connection, series: Collection[str]) -> None:
        table = schema.series_header
        self._connection = connection
        self._of: dict[str, tuple[int, Header]] = {}
        for row in connection.execute(select(table).where(table.c.series_instance_uid.in_(list(series))).order_by(table.c.id)):
            self._of[row.series_instance_uid] = (row.id, _tuples(json.loads(row.content)))

    def columns(self, series: str, header: Header) -> dict[str, Any]:
        """`header_base` and `header_delta` for an instance of `series`."""
        if series not in self._of:
            statement = insert(schema.series_header).values(series_instance_uid=series, content=whole(header))
            self._of[series] = (self._connection.execute(statement.returning(schema.series_header.c.id)).scalar_one(), header)
        base_id, base = self._of[series]
        return {"header_base": base_id, "header_delta": difference(base, header)}
