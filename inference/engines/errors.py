"""Why a model cannot answer: one class a cause, each with a stable code; the messages name the model, the file, both digests."""

from inference.errors import EngineError, ModelError


class LibraryNotInstalled(EngineError):
    """A library that an extra of hilum brings is not installed: it computes, converts or registers. After it is, the same job succeeds."""

    code = "HLM-4001"
    remedy = (
        "Install the extra that it names: `pip install 'PATH[EXTRA]'`, with the PATH of hilum's wheel or checkout. Jobs wait until then."
    )


class EngineTimeout(EngineError):
    """The deadline passed before the engine answered."""

    code = "HLM-4002"
    remedy = "If it stays late, raise the application's `timeout` or give the engine more threads."


class OutOfMemory(EngineError):
    """There was not enough memory to compute the model on this input."""

    code = "HLM-4003"
    remedy = "Give the machine more memory, or run fewer workers."


class NoSuchGpu(EngineError):
    """A model is to be computed on a GPU, and the library that computes it has none: the processor never stands in for it unsaid."""

    code = "HLM-4013"
    remedy = (
        "Install the library with CUDA, or write `instance_group [ { count: 1 kind: KIND_CPU } ]` into the model's config.pbtxt. "
        "Jobs wait until then."
    )


class EngineAway(EngineError):
    """The inference server does not answer; the call was not begun."""

    code = "HLM-4004"
    remedy = "Start the server, or mend the network to it (`hilum doctor`). Jobs wait meanwhile."


class EngineLost(EngineAway):
    """The inference server went away in the middle of a call."""

    code = "HLM-4005"
    remedy = "Look at the server's log for why it ended. Jobs wait until it is back."


class ModelCrashed(EngineLost):
    """The process that runs this one model on the inference server died; the server itself answers."""

    code = "HLM-4006"
    remedy = "Look at the server's log: mostly it ran out of memory. hilum loads the model again."


class EngineBusy(EngineError):
    """The server's queue for this model is full."""

    code = "HLM-4007"
    remedy = "If it stays, raise max_queue_size in the model's config.pbtxt or add instances."


class ComputationFailed(EngineError):
    """The model on the server began to compute and ended with an error of its own."""

    code = "HLM-4008"
    remedy = "The message holds the model's own words; the server's log has more."


class MessageTooLarge(EngineError):
    """The tensors of one call are larger than a gRPC message can be (2 GiB)."""

    code = "HLM-4009"
    remedy = (
        "Run the server on the same machine and let it share memory (`shared_memory: auto`, a larger `shared_memory_limit` and /dev/shm), "
        "or give the model smaller tiles. Then `hilum jobs retry`."
    )
    retry = False


class SharedMemoryRefused(EngineError):
    """`shared_memory: on` is set, and the server does not see this machine's shared memory."""

    code = "HLM-4030"
    remedy = "Let the server's container share /dev/shm (`--ipc=host`, or one volume for both), or write `shared_memory: auto`."


class Unauthenticated(EngineError):
    """The files of `tls:` cannot be read, or the server does not accept what they hold."""

    code = "HLM-4031"
    remedy = "Correct the engine's `tls:` entry, or the rights of the files that it names; jobs wait until then."


class RegistryAway(EngineError):
    """The Python package registry did not give the file."""

    code = "HLM-4010"
    remedy = "Look at the network and pip's settings (`pip config list`), or name the file: `hilum models import APPLICATION --file PATH`."


class CacheUnwritable(EngineError):
    """A file that is fetched once and kept cannot be kept: hilum's folder in the user's cache folder cannot be made, or not be
    written (a read-only home)."""

    code = "HLM-4012"
    remedy = "Name another folder for it, which this user may write: `XDG_CACHE_HOME=FOLDER hilum …`."
    retry = False


class ServerUnsupported(EngineError):
    """A Triton server cannot run on this machine, or under this Python."""

    code = "HLM-4020"
    remedy = "Run Triton elsewhere (docs/howto/run-on-triton.md) and give its URL, or use the embedded engine."
    retry = False


class ServerNotStarted(EngineError):
    """The Triton server of this machine did not become ready; the message ends with what it said last."""

    code = "HLM-4021"
    remedy = "The server's own words say which model or which address; correct that and start again."


class WrongServer(EngineError):
    """The wheel with the Triton server is not the one that hilum was made for."""

    code = "HLM-4022"
    remedy = "Look at what pip's configured registry serves (`pip config list`); nothing was unpacked."
    retry = False


class ModelMissing(ModelError):
    """The repository has no such model, no such version, or no weights in it."""

    code = "HLM-4101"
    remedy = (
        "Run `hilum models list`. Published weights come by `hilum models import APPLICATION`; of an application that has none, train "
        "them, or bring a file: `hilum models import FILE --name MODEL`. Then `hilum jobs retry`."
    )


class DigestMismatch(ModelError):
    """The weights are not those that the repository's entry (or the application) names."""

    code = "HLM-4102"
    remedy = "Somebody changed the file, or it is another version. Import it again: `hilum models import APPLICATION`."


class UnreadableModel(ModelError):
    """config.pbtxt, hilum.json or the weights cannot be read."""

    code = "HLM-4103"
    remedy = "Correct the file that the message names, or import the model again: `hilum models import APPLICATION`."


class WrongTensors(ModelError):
    """The tensors do not fit the model's config.pbtxt: a name, a dtype or a shape."""

    code = "HLM-4104"
    remedy = "The application and the model in the repository do not belong together: compare their versions with `hilum models list`."


class NotFinite(ModelError):
    """A model gave values that are no numbers (NaN) or infinite, of which every comparison says that nothing was found."""

    code = "HLM-4112"
    remedy = (
        "Nothing was made of it. Look at the images (metal, one grey value everywhere, another scale than the model knows), and try the "
        "model: `hilum models verify`. One whose own known input gives numbers cannot compute these images; a lower `precision` may be "
        "why."
    )


class WrongWeights(ModelError):
    """The file that was given, or that the registry holds, is not the one that the application was made for."""

    code = "HLM-4105"
    remedy = "Get the file whose digest the message names as expected; nothing was imported."


class NoSource(ModelError):
    """The application's weights lie on no registry, or are published nowhere, and no file was named."""

    code = "HLM-4106"
    remedy = (
        "Get the weights and name the file: published ones by `hilum models import APPLICATION --file PATH`, those that were trained by "
        "`hilum models import FILE --name MODEL`."
    )


class ModelNotServed(ModelError):
    """The inference server is there and does not serve this model, or not this version."""

    code = "HLM-4108"
    remedy = "Put the model into the server's repository and load it (`hilum models load MODEL`), then `hilum jobs retry`."


class GoldenMismatch(ModelError):
    """The model computes, but not the values it computed when the application was written."""

    code = "HLM-4107"
    remedy = "Update torch or onnxruntime to the versions in constraints.txt, or import the model again."


class HostileModel(ModelError):
    """The model's file holds what no model needs: a program where weights belong, an unlisted operator, a trick in its archive."""

    code = "HLM-4111"
    remedy = (
        "Do not use the file before you know why it says that. Ask its author for the weights alone (safetensors or a state dict, in a "
        "bundle) or for ONNX; nothing of the file was run."
    )


class PrecisionRefused(ModelError):
    """A lower precision does not give the model's answers well enough, or not sooner; the model stays as it was."""

    code = "HLM-4150"
    remedy = "Leave the model in single precision: `hilum models tune MODEL`. Real images say more than made ones: `--series FOLDER`."


class NotEntered(ModelError):
    """There is no place in the repository for what is measured of a model."""

    code = "HLM-4151"
    remedy = "Import the model with `hilum models import`, which writes its entry; of an ensemble, name the members."


class RepositoryNotWritten(ModelError):
    """The model repository cannot be written: no room, or no right to. What it held before is served as before."""

    code = "HLM-4152"
    remedy = "Make room on its disk, or write there as the user that owns it; then call it again."


class BrokenEnsemble(ModelError):
    """The steps of an ensemble do not fit together: a tensor that nothing makes, two that make it, a cycle, another dtype or shape."""

    code = "HLM-4130"
    remedy = "Correct the ensemble's config.pbtxt: the message names the step and the tensor. Then `hilum jobs retry`."


class AlreadyThere(ModelError):
    """The repository has this version of the model already, and it is another one; nothing was overwritten."""

    code = "HLM-4140"
    remedy = "Give the next version: `hilum models import … --version N`; `hilum models list` shows what is there."


class OtherModel(ModelError):
    """What was given as a version of a model has other tensors than its other versions."""

    code = "HLM-4141"
    remedy = "Import it under another `--name`; applications that call it name it in their manifest."


class Underivable(ModelError):
    """The file does not say what config.pbtxt has to: names, types and shapes of the tensors."""

    code = "HLM-4142"
    remedy = "Write a config.pbtxt (docs/howto/bring-a-model.md shows one) and give it with `--config-pbtxt`, or give `--shape`."


class NotServable(ModelError):
    """A version that is not in the repository cannot be served."""

    code = "HLM-4143"
    remedy = "`hilum models list` shows the versions that are there; `hilum models import` brings others."


class NotConvertible(ModelError):
    """The model cannot be written in the other format."""

    code = "HLM-4144"
    remedy = "Serve it in the format that it has, or export it where it was trained (torch.export.save, torch.onnx.export)."


class TooDifferent(ModelError):
    """The converted model computes something else than the original."""

    code = "HLM-4145"
    remedy = "Look at the difference that the message gives; `--tolerance` accepts a larger one. Nothing was written."


class NotATriton(ModelError):
    """Models are loaded and unloaded on a Triton server; the engine that was named is none."""

    code = "HLM-4146"
    remedy = "Name an engine of kind triton: `hilum config check` shows them. The embedded engine loads a model when a job first needs it."
