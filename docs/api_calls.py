"""The page on the console's calls: paths, roles, parameters and bodies, read from the routes that answer."""

import inspect
import threading
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, cast

from fastapi.dependencies.models import Dependant

from node.console.app import build
from node.console.context import ConsoleContext
from node.domain.account import Role
from node.settings.console import Console

REFUSALS: Mapping[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "the address holds a character that no text has, the request names no host, or its body did not come whole",
    HTTPStatus.UNAUTHORIZED: "without a token, or one that has ended",
    HTTPStatus.FORBIDDEN: "the role may not, or it would show patients to whom `console: {names: …}` does not",
    HTTPStatus.NOT_FOUND: "there is none of that name or number, or no such call",
    HTTPStatus.METHOD_NOT_ALLOWED: "the address takes other methods",
    HTTPStatus.CONFLICT: "it cannot be done now: the state, a file that was changed meanwhile, or another upload (`Retry-After`)",
    HTTPStatus.GONE: "the pixels of the series are not kept any more",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the body, or what is packed in it, is larger than is taken there",
    HTTPStatus.MISDIRECTED_REQUEST: "the console is not called so: `console: {hosts: …}`",
    HTTPStatus.UNPROCESSABLE_ENTITY: "a parameter or the body is not of its form, or what is asked for cannot be made of it",
    HTTPStatus.TOO_MANY_REQUESTS: "too many tries in a minute (`Retry-After`)",
    HTTPStatus.INTERNAL_SERVER_ERROR: "a defect of the console; the node's log has where (`console.defect`)",
    HTTPStatus.BAD_GATEWAY: "the node's own receiver did not take what was uploaded, or not all of it: look for the study first",
    HTTPStatus.SERVICE_UNAVAILABLE: "the journal does not answer, or too many pictures are being made (`Retry-After`)",
    HTTPStatus.INSUFFICIENT_STORAGE: "there is no room on the disk for what is uploaded",
}
"""With what a call may be refused, and why, in the order of the numbers."""
_UNDER = "/api/"
_KINDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}


def page(made: str) -> str:
    """The whole page; `made` is the line that says what writes it."""
    described, roles = _described()
    text = [
        "# Calls of the console\n\n",
        made,
        "What programs may ask a node that has a [console](../howto/console.md). A call needs a token (`hilum console tokens add USER`), ",
        "sent as `Authorization: Bearer …`, whose user has the *role* that stands there, or a higher one. ",
        "What is *in the path* stands in braces; everything else that a call takes is a *query* parameter, but where a body is named. ",
        "Answers are JSON, pictures PNG. `GET /api/openapi.json` says the same to machines (OpenAPI 3.1). Names of patients are ",
        "in answers to those alone whom `console: {names: …}` lets see them.\n\n",
        'A call that is refused is answered with `{"error": "…"}`, a sentence; in plain text where it is no HTTP, or its headers are ',
        "longer than 32 KiB (400), and where more connections are open than the console takes (503).\n\n",
        "| status | why |\n|---|---|\n",
        *(f"| {status.value} | {why} |\n" for status, why in REFUSALS.items()),
    ]
    group = ""
    for path, calls in sorted(described["paths"].items(), key=lambda one: (_group(one[0]), one[0])):
        if _group(path) != group:
            group = _group(path)
            text.append(f"\n## {_UNDER}{group}\n")
        for method, call in calls.items():
            text += _call(method.upper(), path, call, roles[method.upper(), path], described["components"]["schemas"])
    return "".join(text)


def _described() -> tuple[dict[str, Any], dict[tuple[str, str], Role]]:
    """What the application says of itself (OpenAPI), and the least role of each of its calls."""
    settings = Console(host="127.0.0.1", port=0)
    app = build(cast(ConsoleContext, SimpleNamespace(settings=settings)), threading.Event())  # nobody asks it anything
    return app.openapi(), dict(_roles(app.routes))


def _roles(routes: Any) -> Iterator[tuple[tuple[str, str], Role]]:
    for one in routes:
        if hasattr(one, "original_router"):
            yield from _roles(one.original_router.routes)
        elif isinstance(getattr(one, "dependant", None), Dependant):
            role = max(_demanded(one.dependant), key=list(Role).index, default=Role.VIEWER)
            yield from (((method, one.path_format), role) for method in one.methods)


def _demanded(dependant: Dependant) -> Iterator[Role]:
    """The roles that a call's dependencies demand (node.console.access.demand_role)."""
    for one in dependant.dependencies:
        if inspect.isfunction(one.call):
            role = inspect.getclosurevars(one.call).nonlocals.get("role")
            yield from [role] if isinstance(role, Role) else []
        yield from _demanded(one)


def _group(path: str) -> str:
    return path.removeprefix(_UNDER).partition("/")[0]


def _call(method: str, path: str, call: dict[str, Any], role: Role, named: dict[str, Any]) -> Iterator[str]:
    yield f"\n### {method} {path}\n\n*{role}.* {' '.join(call['description'].split())}\n"
    if parameters := call.get("parameters"):
        yield "\n| parameter | where | takes | without it | what it says |\n|---|---|---|---|---|\n"
        for one in parameters:
            schema = one["schema"]
            default = schema.get("default")
            without = "is needed" if one.get("required") else "–" if default in (None, "") else f"`{str(default).lower()}`"
            yield f"| `{one['name']}` | {one['in']} | {_takes(schema, named)} | {without} | {one.get('description', '')} |\n"
    if body := call.get("requestBody"):
        kinds = ", ".join(f"`{one}`" for one in body["content"])
        yield f"\nBody: {kinds}. {body.get('description', '')}\n"


def _takes(schema: dict[str, Any], named: dict[str, Any]) -> str:
    """The form of a value; `named` are the schemas that others refer to."""
    if "$ref" in schema:
        return _takes(named[schema["$ref"].rpartition("/")[2]], named)
    if several := schema.get("anyOf"):
        return " or ".join(dict.fromkeys(_takes(one, named) for one in several if one.get("type") != "null"))
    if values := schema.get("enum"):
        return " ".join(f"`{one}`" for one in values)
    if "pattern" in schema:
        return f"`{schema['pattern']}`".replace("|", "\\|")
    said = _KINDS[schema["type"]]
    bounds = [f"{words} {schema[key]}" for key, words in (("minimum", "from"), ("maximum", "to")) if key in schema and schema[key] < 2**53]
    return " ".join([said, *bounds]) + (f", at most {schema['maxLength']} characters" if "maxLength" in schema else "")
