"""A Triton server's own repository, as an operator manages it: load and unload models, and see what is there (explicit model control)."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from inference.engines.errors import ModelMissing, UnreadableModel
from inference.engines.port import Held
from inference.engines.repository import CONFIG
from inference.engines.triton.calls import Calls
from inference.engines.triton.channel import Tls, parse_url

_LOAD_S = 600.0


class TritonControl:
    """Asks one server to load and unload; satisfies the port `Control`.

    Parameters
    ----------
    url, repository, tls
        As for the engine.
    """

    def __init__(self, url: str, repository: Path, *, tls: Tls | None = None) -> None:
        self._repository = repository
        self._calls = Calls(parse_url(url), tls or Tls())

    def held(self, name: str) -> tuple[Held, ...]:
        """The versions of a model that the server knows of, in their order.

        Raises
        ------
        EngineError
        """
        from tritonclient.grpc import service_pb2

        index = self._calls.ask("RepositoryIndex", service_pb2.RepositoryIndexRequest(), "the server's repository")
        found = [each for each in index.models if each.name == name and each.version]
        listed = [Held(version=int(each.version), state=each.state or "UNAVAILABLE", reason=each.reason) for each in found]
        return tuple(sorted(listed, key=lambda each: each.version))

    def load(self, name: str, versions: Collection[int] | None = None) -> tuple[Held, ...]:
        """Load a model, or load it anew from what the server's repository holds now; calls under way are answered by the old one.

        Parameters
        ----------
        versions
            These alone: the server is sent the node's config.pbtxt with them, in the place of its own.

        Raises
        ------
        EngineError, ModelError
        """
        from tritonclient.grpc import service_pb2

        request = service_pb2.RepositoryModelLoadRequest(model_name=name)
        if versions is not None:
            request.parameters["config"].string_param = _with_versions(self._repository, name, sorted(versions))
        self._calls.ask("RepositoryModelLoad", request, f'model "{name}"', timeout_s=_LOAD_S)
        return self.held(name)

    def unload(self, name: str) -> tuple[Held, ...]:
        """Unload all versions of a model; calls under way are answered first.

        Raises
        ------
        EngineError, ModelError
        """
        from tritonclient.grpc import service_pb2

        self._calls.ask(
            "RepositoryModelUnload", service_pb2.RepositoryModelUnloadRequest(model_name=name), f'model "{name}"', timeout_s=_LOAD_S
        )
        return self.held(name)

    def close(self) -> None:
        """Let go of the connection."""
        self._calls.close()


def _with_versions(repository: Path, name: str, versions: Sequence[int]) -> str:
    """The node's config.pbtxt of a model as JSON, with a version_policy of these versions.

    Raises
    ------
    ModelMissing, UnreadableModel
    """
    from google.protobuf import json_format, text_format
    from tritonclient.grpc import model_config_pb2

    file = repository / name / CONFIG
    if not file.is_file():
        raise ModelMissing(f'model "{name}" has no {CONFIG} in {repository}')
    try:
        parsed = text_format.Parse(file.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except (text_format.ParseError, UnicodeDecodeError, OSError) as broken:
        raise UnreadableModel(f"{file}: {broken}") from broken
    said: dict[str, Any] = json_format.MessageToDict(parsed, preserving_proto_field_name=True)
    said["name"] = name
    said["version_policy"] = {"specific": {"versions": list(versions)}}
    return json.dumps(said)
