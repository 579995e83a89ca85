"""`store: {bucket: …}` the S3-compatible bucket that several hosts share."""

import re
from pathlib import Path

from ruamel.yaml.nodes import Node

from node.settings.blocks import Block, Key
from node.settings.config import Bucket
from node.settings.errors import BadValue
from node.settings.kinds import SIZE, TEXT, FilePath, Scalar, Schema
from node.settings.source import Here, scalar_text

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


class BucketUrl:
    """`s3://name/prefix`; becomes (name, prefix)."""

    wants = "`s3://` and a bucket's name, and a prefix if need be: `s3://hospital/hilum`"

    def read(self, at: Node, here: Here) -> tuple[str, str]:
        text = scalar_text(at, here, self.wants)
        if not text.startswith("s3://"):
            raise here.refuse(BadValue, at, f'"{text}" does not begin with s3://')
        name, _, prefix = text.removeprefix("s3://").rstrip("/").partition("/")
        if not _NAME.fullmatch(name):
            raise here.refuse(BadValue, at, f'"{name}" is no bucket name: 3 to 63 letters, digits, dots, hyphens and underscores')
        if prefix and not _PREFIX.fullmatch(prefix):
            raise here.refuse(BadValue, at, f'"{prefix}" is no prefix: letters, digits, dots, hyphens and underscores between slashes')
        return name, prefix

    def schema(self) -> Schema:
        return {"type": "string", "pattern": "^s3://[A-Za-z0-9]"}


def _endpoint(text: str) -> str:
    # the text is not repeated: somebody may have written keys into it
    if not re.fullmatch(r"https?://[A-Za-z0-9._\[\]:-]+/?", text):
        raise ValueError("the endpoint is no URL of a server such as https://s3.hospital.example:9000 (no path, no user)")
    return text.rstrip("/")


ENDPOINT = Scalar(
    wants="a URL such as `https://s3.hospital.example:9000`", parse=_endpoint, form={"type": "string", "pattern": "^https?://"}
)


def _bucket(*, url: tuple[str, str], endpoint: str | None, region: str, credentials: Path | None, ca: Path | None, cache: int) -> Bucket:
    name, prefix = url
    return Bucket(name=name, prefix=prefix, endpoint=endpoint, region=region, credentials=credentials, ca=ca, cache_bytes=cache)


BUCKET = Block(
    build=_bucket,
    keys=(
        Key(name="url", kind=BucketUrl(), required=True, says="The bucket, and the prefix below which everything of this node lies."),
        Key(
            name="endpoint",
            kind=ENDPOINT,
            says="The server; without it Amazon's of the region. Only https:// keeps pixels secret.",
        ),
        Key(name="region", kind=TEXT, default="us-east-1", says="The bucket's region."),
        Key(
            name="credentials",
            kind=FilePath(),
            says="A file with `[default]`, `aws_access_key_id` and `aws_secret_access_key`, read again every few minutes. Without it the "
            "keys come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or from the machine's role.",
        ),
        Key(name="ca", kind=FilePath(), says="A PEM file of certificates that sign the server's, beside those that the system trusts."),
        Key(
            name="cache",
            kind=SIZE,
            default="20GiB",
            says="How much of the bucket each host keeps copies of, in the folder `blobs`; what was not used for longest goes first. At "
            "least what its workers analyse at one time.",
        ),
    ),
)
