"""Why a container says nothing about a series: its engine, its image, how it ended, and what it wrote."""

from inference.engines.errors import EngineAway
from inference.errors import EngineError, ModelError


class ContainerEngineAway(EngineAway):
    """No container engine (podman, Docker) is on this host, or it does not answer the node's user."""

    code = "HLM-4040"
    remedy = "Install podman, or give the node's user one that answers (`hilum doctor` says which was found). Jobs wait until then."


class ContainerNotStarted(EngineError):
    """The container engine answers, and does not start the container: it refuses a bound or an option, holds none, or has no room."""

    code = "HLM-4041"
    remedy = (
        "The reason ends with the engine's words. Mend the engine or the bound that they name; it is tried again as often as "
        "`applications: {NAME: {attempts: …}}` says, then `hilum jobs retry`."
    )


class ImageAbsent(ModelError):
    """The container engine of this host has no image of the digest that the application names; the node fetches none."""

    code = "HLM-4190"
    remedy = "Fetch it as the node's user, `podman pull NAME@sha256:…` or `podman load`, on every host that works; then `hilum jobs retry`."


class UnfitContainer(ModelError):
    """An image and its description do not belong together, or another application has the name already; nothing was imported."""

    code = "HLM-4191"
    remedy = "Correct container.yaml as the message says, then import the folder again; docs/howto/run-a-container.md shows one."


class ContainerFailed(ModelError):
    """The container ended with an error of its own; nothing of what it wrote is used."""

    code = "HLM-4192"
    remedy = "The reason ends with its last words. Try it by hand on the same series, or ask its maker; then `hilum jobs retry`."


class ContainerStopped(ModelError):
    """The container went beyond what it may take (time, memory, output) and was killed; nothing of what it wrote is used."""

    code = "HLM-4193"
    remedy = (
        "If it needs more, raise the bound that the reason names: `applications: {NAME: {timeout: …}}` for time, container.yaml for the "
        "others, with a new version; then `hilum jobs retry`."
    )


class ContainerOutputRefused(ModelError):
    """What the container wrote is not what its description promises, or not of this patient and these images; nothing of it is used."""

    code = "HLM-4194"
    remedy = (
        "Ask the container's maker, with the reason. What it writes besides and nobody needs is left out by `ignore:` of container.yaml; "
        "what it finds has to stand there with its code."
    )


class BrokenContainerManifest(ModelError):
    """The file of a container in the model repository, which the import wrote, is not what it was."""

    code = "HLM-4195"
    remedy = "Import the folder with container.yaml again: `hilum models import FOLDER`."
