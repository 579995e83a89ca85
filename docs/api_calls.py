"""The page on the console's calls: paths, roles, parameters and bodies, read from the routes that answer."""

import inspect
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

from fastapi.dependencies.models import Dependant

from node.console.app import build
from node.console.context import ConsoleContext
from node.domain.account import Role
from node.settings.console import Console

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
        'Answers are JSON, pictures PNG. A call that is refused is answered with `{"error": "…"}`: 401 without a token that is good, 403 ',
        "with a role that may not, 404 where there is none of that name, 409 where it cannot be done now, 422 where a parameter is not of ",
        "its form, 429 and 503 with `Retry-After`. `GET /api/openapi.json` says the same to machines (OpenAPI 3.1). Names of patients are ",
        "in answers to those alone whom `console: {names: …}` lets see them.\n",
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
