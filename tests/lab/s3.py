"""A real object store that speaks S3: OpenStack Swift with its s3api, one replica on a local folder, keys checked, on loopback.

Swift comes from the Python package registry into an environment of its own (`.peers/swift`); it is production software, no fake. What the
tests ask it here goes through signatures made by hand (Signature Version 4), so that it shares no code with the client under test.
"""

import datetime
import getpass
import hashlib
import hmac
import http.client
import json
import ssl
import subprocess
import sys
import urllib.parse
import xml.etree.ElementTree
from pathlib import Path
from types import TracebackType
from typing import Self

from node.blobs.bucket import BucketBlobs
from node.blobs.cache import Cache
from node.settings.store import Bucket
from tests.lab.cache import alone_in
from tests.lab.loopback import free_port, outside
from tests.lab.needs import absent, program
from tests.lab.program import Program, wait_until

VERSION = "2.38.3"
BUCKET = "hilum"
REGION = "us-east-1"
ACCESS_KEY = "lab:node"
SECRET_KEY = "a-secret-that-no-log-may-hold"

_STAGES = ("account", "container", "object", "proxy")
_EMPTY = hashlib.sha256(b"").hexdigest()
_READY_S = 240

_SWIFT = """[swift-hash]
swift_hash_path_prefix = hilum
swift_hash_path_suffix = lab
[storage-policy:0]
name = one
default = yes
"""

_SERVER = """[DEFAULT]
swift_dir = {folder}
devices = {folder}/srv
mount_check = false
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
log_address = /nonexistent
log_level = ERROR
{tls}
[pipeline:main]
pipeline = {pipeline}
[app:{stage}-server]
use = egg:swift#{stage}
"""

_PROXY = """account_autocreate = true
allow_account_management = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[filter:s3api]
use = egg:swift#s3api
[filter:tempauth]
use = egg:swift#tempauth
user_lab_node = {secret} .admin
"""

_RINGS = """import json, sys
from swift.cli.ringbuilder import main
for words in json.load(sys.stdin):
    try:
        main(["swift-ring-builder", *words])
    except SystemExit as ended:
        if ended.code:
            raise
"""
"""What `swift-ring-builder` does, one after another in one interpreter: nine of them take 3 CPU-seconds."""


def programs() -> Path:
    """The folder of Swift's programs; fetched once."""
    with alone_in("swift") as folder:
        environment, done = folder / "environment", folder / f"{VERSION}.installed"
        if not done.exists():
            with outside():
                subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
                fetched = subprocess.run(
                    [environment / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", f"swift=={VERSION}"],
                    capture_output=True,
                    text=True,
                    check=False,
                )
            if fetched.returncode:
                absent(f"swift {VERSION}", f"the Python package registry said: {fetched.stderr[-500:]}")
            done.touch()
    return environment / "bin"


class S3:
    """Swift as a context manager; `kill` and `start` in between are an object store that is away and comes back with what it had.

    Attributes
    ----------
    endpoint
        Its URL; the same after a restart.
    ca
        The certificate that a client has to trust, with `tls`.
    """

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.ca = folder / "ca.pem" if tls else None
        self._programs = programs()
        self._ports = {stage: free_port() for stage in _STAGES}
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self._ports['proxy']}"
        self._running: list[Program] = []
        (folder / "srv" / "d1").mkdir(parents=True)
        (folder / "swift.conf").write_text(_SWIFT)
        if tls:
            self._certify()
        for stage in _STAGES:
            self._configure(stage)
        self._make_rings()

    # ---- its life
    def start(self) -> None:
        """Start it and wait until it has its bucket."""
        for stage in _STAGES:
            command = [self._programs / f"swift-{stage}-server", self.folder / f"{stage}.conf"]
            self._running.append(Program(command, self.folder / f"{stage}.log", environment={"SWIFT_DIR": str(self.folder)}))
        wait_until(self._answers, _READY_S, "the object store answers")

    def kill(self) -> None:
        """SIGKILL, every process of it."""
        for one in self._running:
            one.kill()
        self._running.clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    # ---- what a node needs to know of it
    def settings(self, prefix: str = "node", **more: object) -> dict[str, object]:
        """What stands under `store: bucket:`; the keys are in a file."""
        return {
            "url": f"s3://{BUCKET}/{prefix}",
            "endpoint": self.endpoint,
            "region": REGION,
            "credentials": str(self.credentials()),
            **({"ca": str(self.ca)} if self.ca else {}),
            **more,
        }

    def credentials(self) -> Path:
        """The keys in a file of the usual form."""
        path = self.folder / "credentials"
        path.write_text(f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n")
        path.chmod(0o600)
        return path

    # ---- what lies in it, asked by hand
    def keys(self, prefix: str = "") -> list[str]:
        """Every key that begins with `prefix`, in order."""
        found: list[str] = []
        while True:
            status, body = self.ask("GET", "", {"list-type": "2", "prefix": prefix, "start-after": found[-1] if found else ""})
            assert status == 200, body
            tree = xml.etree.ElementTree.fromstring(body)
            space = tree.tag.partition("}")[0] + "}"
            found += [str(one.findtext(f"{space}Key")) for one in tree.iter(f"{space}Contents")]
            if tree.findtext(f"{space}IsTruncated") != "true":
                return found

    def read(self, key: str) -> bytes:
        """The bytes of an object."""
        status, body = self.ask("GET", key)
        assert status == 200, (key, status)
        return body

    def write(self, key: str, data: bytes) -> None:
        """Put an object there, or replace it."""
        status, body = self.ask("PUT", key, data=data)
        assert status == 200, body

    def remove(self, key: str) -> None:
        """Delete an object."""
        assert self.ask("DELETE", key)[0] in (204, 404)

    def ask(self, method: str, key: str, query: dict[str, str] | None = None, *, data: bytes = b"") -> tuple[int, bytes]:
        """One signed request about `key` in the bucket ("" for the bucket itself): status and body."""
        path = urllib.parse.quote(f"/{BUCKET}/{key}" if key else f"/{BUCKET}")
        asked = "&".join(f"{urllib.parse.quote(k, safe='')}={urllib.parse.quote(v, safe='')}" for k, v in sorted((query or {}).items()))
        host = self.endpoint.partition("//")[2]
        connection: http.client.HTTPConnection
        if self.ca:
            context = ssl.create_default_context(cafile=str(self.ca))
            connection = http.client.HTTPSConnection(host, timeout=30, context=context)
        else:
            connection = http.client.HTTPConnection(host, timeout=30)
        try:
            connection.request(method, f"{path}?{asked}" if asked else path, body=data, headers=_signed(method, host, path, asked, data))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _answers(self) -> bool:
        for one in self._running:
            assert one.running, one.said()
        try:
            return self.ask("PUT", "")[0] in (200, 409)
        except OSError:
            return False

    # ---- its files
    def _configure(self, stage: str) -> None:
        proxy = stage == "proxy"
        tls = f"cert_file = {self.folder / 'server.pem'}\nkey_file = {self.folder / 'key.pem'}" if proxy and self.ca else ""
        pipeline = "catch_errors bulk s3api tempauth slo proxy-server" if proxy else f"{stage}-server"
        text = _SERVER.format(
            folder=self.folder, port=self._ports[stage], user=getpass.getuser(), tls=tls, pipeline=pipeline, stage=stage
        ) + (_PROXY.format(secret=SECRET_KEY) if proxy else "")
        (self.folder / f"{stage}.conf").write_text(text)

    def _make_rings(self) -> None:
        """Where each kind of thing lies: on the one device there is."""
        calls = []
        for stage in _STAGES[:-1]:
            builder, device = str(self.folder / f"{stage}.builder"), f"r1z1-127.0.0.1:{self._ports[stage]}/d1"
            calls += [[builder, *words] for words in (["create", "4", "1", "0"], ["add", device, "1"], ["rebalance"])]
        subprocess.run([self._programs / "python", "-c", _RINGS], input=json.dumps(calls), text=True, check=True, stdout=subprocess.DEVNULL)

    def _certify(self) -> None:
        """An authority, and the server's certificate that it signs: clients refuse a server that shows the authority's own."""
        openssl = program("openssl", "openssl")
        assert self.ca is not None
        authority, key = self.folder / "ca-key.pem", self.folder / "key.pem"
        new = ["-newkey", "rsa:2048", "-nodes", "-days", "2"]
        server = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
        signed: list[str | Path] = ["-CA", self.ca, "-CAkey", authority, "-keyout", key, "-out", self.folder / "server.pem"]
        calls: tuple[list[str | Path], ...] = (
            [*new, "-subj", "/CN=hospital", "-keyout", authority, "-out", self.ca],
            [*new, "-subj", "/CN=127.0.0.1", *server, *signed],
        )
        for words in calls:
            done = subprocess.run([openssl, "req", "-x509", *words], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr


def bucket_blobs(server: S3, root: Path, *, prefix: str, cache_bytes: int = 1 << 30, **other: object) -> BucketBlobs:
    """The node's blobs in this store; each `root` is another host."""
    given = {"endpoint": server.endpoint, "credentials": server.credentials(), "ca": server.ca, **other}
    bucket = Bucket(name=BUCKET, prefix=prefix, cache_bytes=cache_bytes, **given)  # type: ignore[arg-type]
    return BucketBlobs(bucket, Cache(root, most_bytes=cache_bytes, min_free_bytes=0))


def _signed(method: str, host: str, path: str, query: str, data: bytes) -> dict[str, str]:
    """The headers of AWS Signature Version 4."""
    now = datetime.datetime.now(datetime.UTC)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    content = hashlib.sha256(data).hexdigest() if data else _EMPTY
    names = "host;x-amz-content-sha256;x-amz-date"
    canonical = f"{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{content}\nx-amz-date:{stamp}\n\n{names}\n{content}"
    scope = f"{day}/{REGION}/s3/aws4_request"
    key = b"AWS4" + SECRET_KEY.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    return {
        "x-amz-date": stamp,
        "x-amz-content-sha256": content,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders={names}, Signature={signature}",
    }
