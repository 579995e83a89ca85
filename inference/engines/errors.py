"""Why a model cannot answer: one class a cause, each with a stable code; the messages name the model, the file, both digests."""

from inference.errors import EngineError, ModelError


class EngineNotInstalled(EngineError):
    """The library that runs this kind of model is not installed; after it is, the same job succeeds."""

    code = "HLM-4001"
    remedy = "Install it: `pip install 'hilum[embedded]'`. Jobs wait until then."


class EngineTimeout(EngineError):
    """The deadline passed before the engine answered."""

    code = "HLM-4002"
    remedy = "The job is tried again by itself; if it stays late, raise the application's `timeout` or give the engine more threads."


class OutOfMemory(EngineError):
    """There was not enough memory to compute the model on this input."""

    code = "HLM-4003"
    remedy = "Give the machine more memory or run fewer workers; the job is tried again by itself."


class RegistryAway(EngineError):
    """The Python package registry did not give the file."""

    code = "HLM-4010"
    remedy = "Look at the network and pip's settings (`pip config list`), or name the file: `hilum models import APPLICATION --file PATH`."


class ModelMissing(ModelError):
    """The repository has no such model, no such version, or no weights in it."""

    code = "HLM-4101"
    remedy = "Run `hilum models list`, then `hilum models import APPLICATION` and `hilum jobs retry`."


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


class WrongWeights(ModelError):
    """The file that was given, or that the registry holds, is not the one that the application was made for."""

    code = "HLM-4105"
    remedy = "Get the file whose digest the message names as expected; nothing was imported."


class NoSource(ModelError):
    """The application's weights lie on no registry, and no file was named."""

    code = "HLM-4106"
    remedy = "Get the published weights and name the file: `hilum models import APPLICATION --file PATH`."


class GoldenMismatch(ModelError):
    """The model computes, but not the values it computed when the application was written."""

    code = "HLM-4107"
    remedy = "Update torch or onnxruntime to the versions in constraints.txt, or import the model again."
