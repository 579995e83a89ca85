"""ONNX files read field by field, without a library: operators by name, weights inside, no functions, no loop without a bound.

An ONNX model is a protobuf message. What is looked at here is every occurrence of every field that counts, so that it does not matter which
of two a library would take; numbers and weights are passed over.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from inference.engines.errors import HostileModel, UnreadableModel
from inference.engines.sieve.operators import named

_STANDARD = named(
    """
Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization Bernoulli BitCast
BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast CastLike CausalConvWithState Ceil Celu CenterCropPad Clip Col2Im
Compress Concat ConcatFromSequence Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumProd CumSum DFT DeformConv
DepthToSpace DequantizeLinear Det Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather
GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization
HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity If InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization
LeakyRelu Less LessOrEqual LinearAttention Log LogSoftmax Loop LpNormalization LpPool MatMul MatMulInteger Max MaxPool MaxRoiPool
MaxUnpool Mean MeanVarianceNormalization MelWeightMatrix Min Mish Mod Mul Multinomial Neg NegativeLogLikelihoodLoss NonMaxSuppression
NonZero Not OneHot Optional OptionalGetElement OptionalHasElement Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear
RMSNormalization RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum
ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign
RotaryEmbedding Round STFT Scan Scatter ScatterElements ScatterND Selu SequenceAt SequenceConstruct SequenceEmpty SequenceErase
SequenceInsert SequenceLength SequenceMap Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax SoftmaxCrossEntropyLoss Softplus
Softsign SpaceToDepth Split SplitToSequence Sqrt Squeeze Sub Sum SwiGLU Swish Tan Tanh TensorScatter ThresholdedRelu Tile TopK Transpose
Trilu Unique Unsqueeze Upsample Where Xor
"""
)
_TABLES = named(
    """
ArrayFeatureExtractor Binarizer FeatureVectorizer Imputer LinearClassifier LinearRegressor Normalizer OneHotEncoder SVMClassifier
SVMRegressor Scaler TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor
"""
)
_MICROSOFT = named(
    """
BiasGelu BiasSoftmax DequantizeLinear DynamicQuantizeMatMul FastGelu FusedConv FusedGemm FusedMatMul Gelu GroupNorm GroupQueryAttention
MatMulIntegerToFloat MatMulNBits MultiHeadAttention NhwcMaxPool QAttention QGemm QLinearAdd QLinearAveragePool QLinearConcat
QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearSigmoid QLinearSoftmax QuantizeLinear QuickGelu SkipLayerNormalization
"""
)
_OPERATORS: Mapping[str, frozenset[str]] = {"": _STANDARD, "ai.onnx": _STANDARD, "ai.onnx.ml": _TABLES, "com.microsoft": _MICROSOFT}
"""By domain, what computes and nothing else; texts and encoded images are for other programs than this."""

_MOST_DEPTH = 20
_MOST_FIELDS = 20_000_000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EXTERNAL = 1

_MODEL_GRAPH, _MODEL_TRAINING, _MODEL_FUNCTIONS = 7, 20, 25
_GRAPH_NODE, _GRAPH_TENSOR, _GRAPH_SPARSE = 1, 5, 15
_NODE_INPUT, _NODE_TYPE, _NODE_DOMAIN, _NODE_ATTRIBUTE, _NODE_NAME = 1, 4, 7, 5, 3
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_TENSOR_NAME, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 8, 13, 14
_ENTRY_KEY, _ENTRY_VALUE = 1, 2


def sift_onnx(content: bytes, what: str) -> None:
    """Refuse an ONNX model that holds more than a computation on its own weights.

    Raises
    ------
    UnreadableModel
        It is no protobuf message.
    HostileModel
        With the operator, or the file that it asks for.
    """
    reading = _GraphReading(what)
    graphs = 0
    for field, value in reading.fields(memoryview(content)):
        if field == _MODEL_GRAPH:
            graphs += 1
            reading.graph(_message(value, what), 0)
        elif field in (_MODEL_TRAINING, _MODEL_FUNCTIONS):
            kind = "functions of its own" if field == _MODEL_FUNCTIONS else "a part for training"
            raise HostileModel(f"{what} has {kind}; write it out as one graph of operators (onnx.inliner) and import that")
    if graphs != 1:
        raise UnreadableModel(f"{what} is not an ONNX model: it has {graphs} graphs")


@dataclass(slots=True)
class _GraphReading:
    """One pass over a model; counts what it read."""

    what: str
    read: int = 0

    def fields(self, message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
        """The fields of a message: numbers, and bytes as views of the file."""
        at, end = 0, len(message)
        while at < end:
            self.read += 1
            if self.read > _MOST_FIELDS:
                raise HostileModel(f"{self.what} is made of more than {_MOST_FIELDS} fields")
            key, at = self._varint(message, at)
            kind = key & 7
            if kind == _VARINT:
                value, at = self._varint(message, at)
                yield key >> 3, value
                continue
            if kind == _BYTES:
                length, at = self._varint(message, at)
            elif kind in (_FIXED64, _FIXED32):
                length = 8 if kind == _FIXED64 else 4
            else:
                raise UnreadableModel(f"{self.what} is not an ONNX model: a field of kind {kind}")
            if at + length > end:
                raise UnreadableModel(f"{self.what} is not an ONNX model: a field ends behind its message")
            if kind == _BYTES:
                yield key >> 3, message[at : at + length]
            at += length

    def _varint(self, message: memoryview, at: int) -> tuple[int, int]:
        value = shift = 0
        while at < len(message) and shift < 70:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, at
            shift += 7
        raise UnreadableModel(f"{self.what} is not an ONNX model: a number without end")

    def graph(self, message: memoryview, depth: int) -> None:
        if depth > _MOST_DEPTH:
            raise HostileModel(f"{self.what} has graphs inside of graphs deeper than {_MOST_DEPTH}")
        for field, value in self.fields(message):
            if field == _GRAPH_NODE:
                self._node(_message(value, self.what), depth)
            elif field == _GRAPH_TENSOR:
                self._tensor(_message(value, self.what))
            elif field == _GRAPH_SPARSE:
                self._sparse(_message(value, self.what))

    def _node(self, message: memoryview, depth: int) -> None:
        types: list[str] = []
        domains: list[str] = []
        inputs: list[str] = []
        name = ""
        for field, value in self.fields(message):
            if field == _NODE_TYPE:
                types.append(_text(value, self.what))
            elif field == _NODE_DOMAIN:
                domains.append(_text(value, self.what))
            elif field == _NODE_INPUT:
                inputs.append(_text(value, self.what))
            elif field == _NODE_NAME:
                name = _text(value, self.what)
            elif field == _NODE_ATTRIBUTE:
                self._attribute(_message(value, self.what), depth)
        for domain in domains or [""]:
            for kind in types or [""]:
                if kind not in _OPERATORS.get(domain, ()):
                    said = f"{domain}.{kind}" if domain else kind
                    raise HostileModel(f"{self.what}: the node {name[:80]!r} is the operator {said[:80]!r}, which is not on the list")
        if "Loop" in types and not any(inputs[:2]):
            raise HostileModel(f"{self.what}: the node {name[:80]!r} is a Loop without a count and without a condition: it never ends")

    def _attribute(self, message: memoryview, depth: int) -> None:
        for field, value in self.fields(message):
            if field in _ATTRIBUTE_TENSORS:
                self._tensor(_message(value, self.what))
            elif field in _ATTRIBUTE_GRAPHS:
                self.graph(_message(value, self.what), depth + 1)
            elif field in _ATTRIBUTE_SPARSE:
                self._sparse(_message(value, self.what))

    def _sparse(self, message: memoryview) -> None:
        for field, value in self.fields(message):
            if field in (1, 2):
                self._tensor(_message(value, self.what))

    def _tensor(self, message: memoryview) -> None:
        name, external, places = "", False, []
        for field, value in self.fields(message):
            if field == _TENSOR_NAME:
                name = _text(value, self.what)
            elif field == _TENSOR_LOCATION:
                external |= value == _EXTERNAL
            elif field == _TENSOR_EXTERNAL:
                external = True
                entry = {number: _text(text, self.what) for number, text in self.fields(_message(value, self.what))}
                places += [entry.get(_ENTRY_VALUE, "")] if entry.get(_ENTRY_KEY) == "location" else []
        if external:
            told = f" ({places[0][:80]!r})" if places else ""
            raise HostileModel(
                f"{self.what}: the weights {name[:80]!r} lie in another file{told}; save the model as one file (external_data=False)"
            )


def _message(value: int | memoryview, what: str) -> memoryview:
    if isinstance(value, int):
        raise UnreadableModel(f"{what} is not an ONNX model: a number where a message belongs")
    return value


def _text(value: int | memoryview, what: str) -> str:
    try:
        return bytes(_message(value, what)).decode("utf-8")
    except UnicodeDecodeError as other:
        raise UnreadableModel(f"{what} is not an ONNX model: a name that is no text") from other
