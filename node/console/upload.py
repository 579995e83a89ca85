"""A test study: files from a browser, sent to the node's own receiver by DIMSE as any sender would, so that what happens is what would
happen. Until they are sent they lie where this process keeps temporary files: in memory where the store is encrypted."""

import tempfile
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse
from starlette.requests import ClientDisconnect

from node.console.access import At, MeantByHeader, Operating
from node.console.errors import RequestRefused
from node.console.rendering import page
from node.dicom.archives import ArchiveTooLarge
from node.domain.errors import DeliveryError
from node.observe.security import ConsoleActed, tell

pages = APIRouter(include_in_schema=False)
calls = APIRouter(prefix="/api", tags=["console"])
_MOST_TOLD = 20
_LONGEST_NAME = 200


@pages.get("/upload")
def upload(request: Request, at: At, who: Operating) -> HTMLResponse:
    """Where files are chosen."""
    return page(
        request,
        "upload.html",
        who,
        listens=at.receiver.listens,
        titles=at.receiver.titles,
        most_mb=at.upload_limits.file_bytes // 1_000_000,
    )


@calls.post("/upload", dependencies=[MeantByHeader])
async def receive(
    request: Request,
    at: At,
    who: Operating,
    calling: Annotated[str, Query(max_length=16)],
    name: Annotated[str, Query(max_length=_LONGEST_NAME)] = "file",
    more: Annotated[bool, Query(description="Another file of the same upload follows: the association stays open for it.")] = False,
) -> dict[str, Any]:
    """Send the body, a DICOM file or a zip of such, to the node's own receiver under an AE title of the page's."""
    limits = at.upload_limits
    if calling not in at.receiver.titles:
        raise RequestRefused(HTTPStatus.CONFLICT, f"the receiver admits nobody from this machine who calls as {calling}")
    if not at.uploading.acquire(blocking=False):
        raise RequestRefused(HTTPStatus.CONFLICT, "somebody else sends files just now: try again in a moment", retry_after_s=5)
    try:
        with tempfile.TemporaryDirectory(prefix="hilum-upload-") as folder:
            given = Path(folder) / "given"
            await _keep(request, given, limits.file_bytes)
            unpacked = Path(folder) / "unpacked"
            sent = await run_in_threadpool(at.receiver.send, given, name, calling, unpacked, limits.unpacked_bytes, more=more)
    except ArchiveTooLarge as bomb:
        raise RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{bomb}: nothing was sent") from bomb
    except DeliveryError as away:
        raise RequestRefused(HTTPStatus.BAD_GATEWAY, f"the node's receiver: {away}") from away
    except OSError as full:
        raise RequestRefused(HTTPStatus.INSUFFICIENT_STORAGE, f"no room for it: {full.strerror}") from full
    finally:
        at.uploading.release()
    if sent.accepted:
        of = ", ".join(sent.studies[:_MOST_TOLD])
        subject = f"{sent.accepted} instances of study {of} as {calling}"
        tell(ConsoleActed(account=who.name, address=who.address, verb="send", subject=subject))
    left = [{"name": name, "reason": reason} for name, reason in sent.left[:_MOST_TOLD]]
    return {"accepted": sent.accepted, "studies": list(sent.studies), "left": left, "not_accepted": len(sent.left)}


async def _keep(request: Request, given: Path, most_bytes: int) -> None:
    """Write the body down as it comes."""
    kept = 0
    try:
        with given.open("wb") as file:
            async for piece in request.stream():
                kept += len(piece)
                if kept > most_bytes:
                    words = f"more than {most_bytes // 1_000_000} MB: send it from where it lies, by `hilum send`"
                    raise RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, words)
                file.write(piece)
    except ClientDisconnect as left:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "the file did not come whole") from left
