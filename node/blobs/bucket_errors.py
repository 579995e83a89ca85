"""What an object store's refusals mean. Their own words are never repeated: they quote access keys and signed requests."""

import re

from node.blobs.errors import BucketAway, BucketRefused
from node.domain.errors import JournalError

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
_KIND = re.compile(r"kind: ([A-Z][A-Za-z]{1,30})")
_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(?:Other\(\s*OtherError\(\s*)?([A-Za-z]{1,40})")
_LATER = {"408", "429"}  # the others below 500 stay as they are however often one asks


def translated(error: Exception, what: str, url: str) -> JournalError:
    """The error of one request in the node's own words."""
    text = str(error)
    status, code, kind = (found[1] if (found := pattern.search(text)) else "" for pattern in (_STATUS, _CODE, _KIND))
    told = " ".join(part for part in (status, code) if part) or {"Connect": "no connection", "Timeout": "no answer in time"}.get(kind, kind)
    sentence = f"{url}: cannot {what}: {told or type(error).__name__}"
    if certificate := _CERTIFICATE.search(text):
        return BucketRefused(f"{url}: cannot {what}: the server's certificate is not trusted ({certificate[1]})")
    if code == "NoSuchBucket":
        return BucketRefused(f"{url}: there is no such bucket")
    denied = type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError")
    if denied or (status.startswith(("3", "4")) and status not in _LATER):
        return BucketRefused(sentence)
    return BucketAway(sentence)
