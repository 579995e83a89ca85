"""The console put together: views, API, what every answer carries, and what is said when something is refused."""

import math
import threading
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from node.console import api, blocks, login, pace, pictures, revisions, routing, system_pages, upload, users, views
from node.console.access import Looking
from node.console.addresses import Forwarded, is_reached_by, named
from node.console.context import ConsoleContext
from node.console.errors import NotLoggedIn, RequestRefused
from node.console.rendering import page
from node.domain.errors import JournalError
from node.observe.events import alarm, trace

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_DRAWN_WITH = ("/static/console.css", "/static/mark.svg")
"""What a refusal is drawn with, also where the name is not ours: it says nothing of the node."""


def build(context: ConsoleContext, ending: threading.Event) -> FastAPI:
    """The application; streams end when `ending` is set."""
    try:
        released = version("hilum")
    except PackageNotFoundError:
        released = "0"
    # FastAPI's own description is for everybody, and the pages that it makes of it fetch scripts from elsewhere
    app = FastAPI(title="hilum console", version=released, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.context, app.state.ending = context, ending
    calls = (
        api.router,
        pictures.calls,
        system_pages.calls,
        pace.calls,
        routing.calls,
        revisions.calls,
        blocks.calls,
        upload.calls,
        users.calls,
    )
    for router in (
        login.router,
        views.router,
        pictures.pages,
        system_pages.pages,
        pace.pages,
        routing.pages,
        revisions.pages,
        blocks.pages,
        users.pages,
        upload.pages,
        *calls,
    ):
        app.include_router(router)

    @app.get("/api/openapi.json", include_in_schema=False)
    def description(who: Looking) -> dict[str, Any]:
        """What the API offers, for those who may use it."""
        return app.openapi()

    app.mount("/static", StaticFiles(directory=Path(__file__).with_name("static")))

    @app.middleware("http")
    async def guarded(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        host = named(request.headers.get("host"))
        static = request.url.path.startswith("/static/")
        if request.url.path in _DRAWN_WITH or is_reached_by(host, context.settings, str((request.scope.get("server") or ("",))[0])):
            answer = await _answered(request, call)
        else:
            words = f"this console is not called “{host}”: name it in `console: {{hosts: …}}`" if host else "the request names no host"
            answer = _said(request, HTTPStatus.MISDIRECTED_REQUEST if host else HTTPStatus.BAD_REQUEST, words)
        for name, value in _HEADERS.items():
            # a page that says of itself that it may do less, says so
            answer.headers.setdefault(name, value)
        # patients' data stay in no cache; assets are asked for again, and mostly have not changed
        answer.headers["Cache-Control"] = "no-cache" if static else "no-store"
        if context.secure:
            answer.headers["Strict-Transport-Security"] = "max-age=31536000"
        return answer

    # the outermost: what is told below is told of who asks, and not of the proxy
    app.add_middleware(Forwarded, proxies=context.settings.trusted_proxies)

    @app.exception_handler(RequestRefused)
    async def refused(request: Request, error: RequestRefused) -> Response:
        return _said(request, error.status, error.words, lead=isinstance(error, NotLoggedIn), retry_after_s=error.retry_after_s)

    @app.exception_handler(JournalError)
    async def away(request: Request, error: JournalError) -> Response:
        return _said(request, HTTPStatus.SERVICE_UNAVAILABLE, f"the journal does not answer [{error.code}]", retry_after_s=5)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        return _said(request, HTTPStatus(error.status_code), HTTPStatus(error.status_code).phrase.lower())

    @app.exception_handler(RequestValidationError)
    async def unfit(request: Request, error: RequestValidationError) -> Response:
        return _said(request, HTTPStatus.UNPROCESSABLE_ENTITY, "the address or the form is not one of ours")

    return app


async def _answered(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
    # no UID, name or word has it, and PostgreSQL takes it for nothing
    if "\0" in request.scope["path"] or "%00" in request.url.query:
        return _said(request, HTTPStatus.BAD_REQUEST, "the address holds a character that no text has (NUL)")
    try:
        return await call(request)
    except Exception as defect:  # noqa: BLE001  (a defect of one page ends that request alone, and is told without its words, which may quote a patient)
        route = getattr(request.scope.get("route"), "path", "")
        alarm("console.defect", route=route, error=type(defect).__name__, trace=trace(defect))
        return _said(request, HTTPStatus.INTERNAL_SERVER_ERROR, "a defect of the console: the node's log says where")


def _said(request: Request, status: HTTPStatus, words: str, *, lead: bool = False, retry_after_s: float | None = None) -> Response:
    """A refusal: JSON for programs, a page for people; who is not logged in is led to the login."""
    answer: Response
    if request.url.path.startswith("/api/"):
        answer = JSONResponse({"error": words}, status)
    elif lead and "hx-request" in request.headers:
        answer = Response(status_code=HTTPStatus.NO_CONTENT, headers={"HX-Redirect": "/login"})
    elif lead and request.url.path != "/live":
        answer = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    else:
        astray = status is HTTPStatus.MISDIRECTED_REQUEST  # any page of this name would be refused as well
        answer = page(request, "refused.html", None, status=status, title=status.phrase, words=words, astray=astray)
    if status is HTTPStatus.UNAUTHORIZED and request.url.path.startswith("/api/"):
        answer.headers["WWW-Authenticate"] = "Bearer"
    if retry_after_s is not None:
        answer.headers["Retry-After"] = str(math.ceil(retry_after_s))
    return answer
