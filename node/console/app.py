"""The console put together: views, API, what every answer carries, and what is said when something is refused."""

import math
import threading
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from node.console import api, login, pace, pictures, routing, surroundings, views
from node.console.desk import Desk
from node.console.errors import NotLoggedIn, Refused
from node.console.frame import page
from node.domain.errors import JournalError

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def build(desk: Desk, ending: threading.Event) -> FastAPI:
    """The application; streams end when `ending` is set."""
    try:
        released = version("hilum")
    except PackageNotFoundError:
        released = "0"
    # the pages that FastAPI makes of the description fetch scripts from elsewhere: only the description is served
    app = FastAPI(title="hilum console", version=released, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    app.state.desk, app.state.ending = desk, ending
    calls = (api.router, pictures.calls, surroundings.calls, pace.calls, routing.calls)
    for router in (login.router, views.router, pictures.pages, surroundings.pages, pace.pages, routing.pages, *calls):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=Path(__file__).with_name("static")))

    @app.middleware("http")
    async def guarded(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        answer = await call(request)
        for name, value in _HEADERS.items():
            # a page that says of itself that it may do less, says so
            answer.headers.setdefault(name, value)
        # patients' data stay in no cache; assets are asked for again, and mostly have not changed
        answer.headers["Cache-Control"] = "no-cache" if request.url.path.startswith("/static/") else "no-store"
        if desk.secure:
            answer.headers["Strict-Transport-Security"] = "max-age=31536000"
        return answer

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
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
        answer = page(request, "refused.html", None, status=status, title=status.phrase, words=words)
    if status is HTTPStatus.UNAUTHORIZED and request.url.path.startswith("/api/"):
        answer.headers["WWW-Authenticate"] = "Bearer"
    if retry_after_s is not None:
        answer.headers["Retry-After"] = str(math.ceil(retry_after_s))
    return answer
