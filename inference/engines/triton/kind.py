"""The record of engines that ask a Triton Inference Server."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from inference.engines.kind import EngineKind, File, Group, OneOf, Opening, Option, Remark, Size, Switch, Text
from inference.engines.triton.channel import SharedMemory, Tls, parse_url

if TYPE_CHECKING:
    from inference.engines.port import Engine
    from inference.engines.triton.control import TritonControl
    from inference.engines.triton.engine import TritonEngine

_LEAST_SHARED = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Triton:
    """`url` as in "grpc://host:8001"; `shared_memory_limit` is what one process may take (bytes); `load`: have the server load models that
    it does not serve."""

    kind: ClassVar[str] = "triton"
    url: str
    tls: Tls = field(default_factory=Tls)
    shared_memory: SharedMemory = SharedMemory.AUTO
    shared_memory_limit: int = 4 * 2**30
    load: bool = True


def _url(text: str) -> str:
    return str(parse_url(text))


def _check(options: Triton, given: Collection[str]) -> tuple[str, str] | None:
    if "tls" in given and not options.url.startswith("grpcs://"):
        return "url", '"tls" without encryption; write grpcs:// instead of grpc://'
    if options.shared_memory_limit < _LEAST_SHARED:
        return "shared_memory_limit", "less than 64MiB holds no volume; write shared_memory: off"
    return None


def _open(options: Triton, opening: Opening) -> "TritonEngine":
    from inference.engines.triton.engine import TritonEngine

    return TritonEngine(
        options.url,
        opening.repository,
        shared_memory=options.shared_memory,
        tls=options.tls,
        load=options.load,
        limit=options.shared_memory_limit,
    )


def _mend(options: Triton) -> str:
    tls = " Is its certificate the one that `tls:` names the authority of?" if options.url.startswith("grpcs://") else ""
    return f"Is the server running at {options.url}, and may this machine reach the port?{tls} Until then jobs wait; intake goes on."


def _control(options: Triton, repository: Path) -> "TritonControl":
    from inference.engines.triton.control import TritonControl

    return TritonControl(options.url, repository, tls=options.tls)


def _remarks(options: Triton, engine: "Engine") -> Iterable[Remark]:
    from inference.engines.triton.remarks import remarks

    return remarks(options.load, engine)


KIND = EngineKind(
    name=Triton.kind,
    says="asks a Triton Inference Server",
    takes=(
        Option(
            name="url",
            takes=Text(wants="an address `grpc://host:8001`", parse=_url, pattern="^grpcs?://[^/]+$"),
            required=True,
            example="grpc://host:8001",
            says="the server's gRPC address, `grpc://host:8001`, or `grpcs://host:8001` for TLS.",
        ),
        Option(
            name="tls",
            takes=Group(
                build=Tls,
                together=("cert", "key"),
                options=(
                    Option(
                        name="ca",
                        takes=File(),
                        says="PEM file of the authority that signed the server's certificate; without it, the authorities that gRPC comes "
                        "with.",
                    ),
                    Option(name="cert", takes=File(), says="PEM file of the node's own certificate, where the server asks for one."),
                    Option(name="key", takes=File(), says="PEM file of its private key."),
                ),
            ),
            default="{}",
            says="certificates for a `grpcs://` address; read again at each connection.",
        ),
        Option(
            name="shared_memory",
            takes=OneOf(words=SharedMemory),
            default="auto",
            says="`auto` sends large tensors through shared memory when the server proves to see this machine's, "
            "else by gRPC; `on` sends all of them so and counts a server that does not see it as away; `off` never does.",
        ),
        Option(
            name="shared_memory_limit",
            takes=Size(),
            default="4GiB",
            says="what one work process may take of /dev/shm; above it tensors go by gRPC.",
        ),
        Option(
            name="load",
            takes=Switch(),
            default="true",
            says="have the server load models that it does not serve, and load one anew whose process died "
            "(it needs --model-control-mode=explicit).",
        ),
    ),
    options=Triton,
    open=_open,
    where=lambda options: options.url,
    mend=_mend,
    check=_check,
    lacks={
        "threads": "its server decides",
        "memory": "its server decides",
        "allow_code": "its models are computed on the server",
    },
    control=_control,
    remarks=_remarks,
)
