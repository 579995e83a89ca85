"""The peers and the sinks of the configuration file, which admins edit as they edit routes: looked at, checked, saved. Pages and calls
do the same. Values that may be secret (a login in an address) are shown to nobody, and stay.
"""

from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from node.console.access import Administering, At, Body, Fields, Meant
from node.console.editing import LiveBlock
from node.console.routing import YAML, Digest, Reason, checked, compared, done, editor, saved, text_of, written

pages = APIRouter(include_in_schema=False)
calls = APIRouter(prefix="/api", tags=["configuration"])
_Block = Literal[LiveBlock.PEERS, LiveBlock.SINKS]


@pages.get("/config/{block}")
def block_page(request: Request, at: At, who: Administering, block: _Block) -> HTMLResponse:
    """The editor."""
    return editor(request, at, who, block)


@pages.post("/config/{block}/check", dependencies=[Meant])
def check(request: Request, at: At, who: Administering, block: _Block, fields: Fields) -> HTMLResponse:
    """What is wrong with the text, or what would change with it."""
    return compared(request, at, who, block, fields)


@pages.post("/config/{block}/save", dependencies=[Meant])
def save(request: Request, at: At, who: Administering, block: _Block, fields: Fields) -> HTMLResponse:
    """Write the text into the file and have the node take it up; of a text whose differences nobody was shown, show them."""
    return written(request, at, who, block, fields)


@calls.get("/config/{block}")
def block_now(at: At, who: Administering, block: _Block) -> dict[str, Any]:
    """The block `peers:` or `sinks:` as it stands in the configuration file, without values that may be secret."""
    return asdict(done(at.editing.of(block).shown))


@calls.post("/config/{block}/check", dependencies=[Meant], **YAML)
def check_call(at: At, who: Administering, block: _Block, body: Body) -> dict[str, Any]:
    """What is wrong with the edited block, at the lines of the file; nothing is changed."""
    return asdict(done(lambda: checked(at, who, block, text_of(body))))


@calls.put("/config/{block}", dependencies=[Meant], **YAML)
def save_call(at: At, who: Administering, block: _Block, digest: Digest, body: Body, reason: Reason = "") -> dict[str, Any]:
    """Write the edited block into the configuration file that has this digest, and have the node take it up."""
    return asdict(done(lambda: saved(at, who, block, text_of(body), digest, reason)))
