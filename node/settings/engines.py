"""`engines:` what runs models."""

from inference.engines.triton.channel import parse_url
from node.settings.blocks import Block, Key, Named, Nodes, Values
from node.settings.config import EngineKind, EngineSettings, EngineTls, SharedMemory
from node.settings.errors import BadValue, MissingKey
from node.settings.kinds import SIZE, SWITCH, Choice, FilePath, Scalar, whole
from node.settings.source import Here

_LEAST_SHARED = 64 * 2**20


def _url(text: str) -> str:
    return str(parse_url(text))


URL = Scalar(wants="an address `grpc://host:8001`", parse=_url, form={"type": "string", "pattern": "^grpcs?://[^/]+$"})


def _whole_pair(values: Values, nodes: Nodes, here: Here) -> None:
    for one, other in (("cert", "key"), ("key", "cert")):
        if values[one] is not None and values[other] is None:
            raise here.refuse(MissingKey, nodes[one], f'a "{one}" needs the "{other}" that belongs to it')


TLS = Block(
    build=EngineTls,
    check=_whole_pair,
    keys=(
        Key(
            name="ca",
            kind=FilePath(),
            says="PEM file of the authority that signed the server's certificate; without it, the authorities that gRPC comes with.",
        ),
        Key(name="cert", kind=FilePath(), says="PEM file of the node's own certificate, where the server asks for one."),
        Key(name="key", kind=FilePath(), says="PEM file of its private key."),
    ),
)

_OF_EMBEDDED = {
    "threads": "its server decides",
    "memory": "its server decides",
    "allow_code": "its models are computed on the server",
}
_OF_TRITON = ("url", "tls", "shared_memory", "shared_memory_limit", "load")


def _engine(
    *,
    name: str,
    kind: EngineKind,
    threads: int | None,
    memory: int | None,
    allow_code: bool,
    url: str | None,
    tls: EngineTls,
    shared_memory: SharedMemory,
    shared_memory_limit: int,
    load: bool,
) -> EngineSettings:
    return EngineSettings(
        name=name,
        kind=kind,
        threads=threads,
        memory=memory,
        allow_code=allow_code,
        url=url or "",
        tls=tls,
        shared_memory=shared_memory,
        shared_memory_limit=shared_memory_limit,
        load=load,
    )


def _check(values: Values, nodes: Nodes, here: Here) -> None:
    if values["kind"] is EngineKind.EMBEDDED:
        for key in _OF_TRITON:
            if key in nodes:
                raise here.refuse(BadValue, nodes[key], f'an engine of kind embedded has no "{key}"; that belongs to kind triton')
        return
    for key, why in _OF_EMBEDDED.items():
        if key in nodes:
            raise here.refuse(BadValue, nodes[key], f'an engine of kind triton has no "{key}"; {why}')
    if values["url"] is None:
        raise here.refuse(MissingKey, nodes["kind"], 'an engine of kind triton needs the key "url": grpc://host:8001')
    if "tls" in nodes and not values["url"].startswith("grpcs://"):
        raise here.refuse(BadValue, nodes["url"], '"tls" without encryption; write grpcs:// instead of grpc://')
    if values["shared_memory_limit"] < _LEAST_SHARED:
        raise here.refuse(BadValue, nodes["shared_memory_limit"], "less than 64MiB holds no volume; write shared_memory: off")


ENGINES = Named(
    noun="engine",
    of=Block(
        build=_engine,
        check=_check,
        keys=(
            Key(
                name="kind",
                kind=Choice(of=EngineKind),
                default="embedded",
                says="`embedded` runs models inside the work processes; `triton` asks a Triton Inference Server.",
            ),
            Key(
                name="threads",
                kind=whole(1, 1024),
                says="Kind embedded: threads for one model; without it, a worker's share of the cores that the node may use.",
            ),
            Key(
                name="memory",
                kind=SIZE,
                says="Kind embedded: what the process of one model may take; one that takes more is ended, and its job tried again. "
                "Without it, a worker's share of four fifths of the machine's memory, or of the container's. It bounds each model "
                "by itself, not the sum of the eight at most that a worker keeps warm.",
            ),
            Key(
                name="allow_code",
                kind=SWITCH,
                default="false",
                says="Kind embedded: compute models that can carry a program (TorchScript) even where the kernel cannot confine their "
                "processes (`hilum doctor` says so). A program then does what the node's user may.",
            ),
            Key(
                name="url",
                kind=URL,
                says="Kind triton: the server's gRPC address, `grpc://host:8001`, or `grpcs://host:8001` for TLS.",
            ),
            Key(
                name="tls",
                kind=TLS,
                default="{}",
                says="Kind triton: certificates for a `grpcs://` address; read again at each connection.",
            ),
            Key(
                name="shared_memory",
                kind=Choice(of=SharedMemory),
                default="auto",
                says="Kind triton: `auto` sends large tensors through shared memory when the server proves to see this machine's, "
                "else by gRPC; `on` sends all of them so and counts a server that does not see it as away; `off` never does.",
            ),
            Key(
                name="shared_memory_limit",
                kind=SIZE,
                default="4GiB",
                says="Kind triton: what one work process may take of /dev/shm; above it tensors go by gRPC.",
            ),
            Key(
                name="load",
                kind=SWITCH,
                default="true",
                says="Kind triton: have the server load models that it does not serve, and load one anew whose process died "
                "(it needs --model-control-mode=explicit).",
            ),
        ),
    ),
)
