"""`hilum doctor`: does this machine confine the processes that compute models, and what may they do where it does not?"""

import os
from collections.abc import Iterator, Sequence

from node.cli.finding import Finding
from node.settings.config import Config, EngineKind


def look_at_user() -> Iterator[Finding]:
    """Applications are programs that run in the work processes, as the node's user; as root they own the machine."""
    if os.geteuid() == 0:
        fix = "Run the node as a user of its own (docs/howto/secure-the-node.md): applications are Python that runs as the node's user."
        yield Finding(subject="user", level="warning", detail="this runs as root; so may the node", fix=fix)


def look_at_jail(config: Config, applications: Sequence[str]) -> Iterator[Finding]:
    """Have a process try that is confined as models' are; asked only where the embedded engine computes something."""
    from node.assembly.compose import engine_kind, engine_of, model_limits

    engines = sorted({engine_of(config, name) for name in applications})
    embedded = [name for name in engines if engine_kind(config, name) is EngineKind.EMBEDDED]
    if not embedded:
        return
    from inference.engines.jail.probe import probe
    from inference.errors import HilumError

    try:
        found = probe()
    except HilumError as broken:
        yield Finding(subject="jail", level="bad", detail=f"{broken} [{broken.code}]", fix=broken.remedy)
        return
    freed = [name for name in embedded if model_limits(config, name).allow_code]
    if found.confined.whole and not found.reached:
        said = f"Landlock {found.confined.landlock} and seccomp filters; a process that tried reached no file, no network, no process"
        yield Finding(subject="jail", level="good", detail=f"models are computed in confined processes: {said}")
        return
    lacking = found.confined.lacking() or "nothing that it says"
    detail = f"this kernel does not confine models' processes: it lacks {lacking}; one that tried reached {', '.join(found.reached)}"
    if freed:
        fix = f"`allow_code: true` of {', '.join(freed)} lets models that carry a program do what the node's user may: trust their authors."
    else:
        refused = "Models that can carry a program (TorchScript, torch.export) are refused here (HLM-4110), others only read before."
        fix = f"{refused} Use a kernel with both."
    yield Finding(subject="jail", level="warning", detail=detail, fix=fix)
