"""The bytes of an ONNX file in, whether all its weights are in it out; without the `onnx` package, in a millisecond.

Only the skeleton is read (protobuf tags and lengths), never the weights. Field numbers: onnx.proto3 of ONNX 1.x.
"""

from collections.abc import Iterator

_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODES, _GRAPH_TENSORS, _GRAPH_SPARSE = 1, 5, 15
_FUNCTION_NODES = 7
_NODE_ATTRIBUTES = 5
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_SPARSE_PARTS = (1, 2)
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a tensor

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def has_external_data(model: bytes) -> bool:
    """Whether a tensor of the ONNX file keeps its values in another file.

    Raises:
        ValueError: the bytes are no protobuf message.
    """
    for number, part in _parts(memoryview(model)):
        if number == _MODEL_GRAPH and _graph(part):
            return True
        if number == _MODEL_FUNCTIONS and any(_node(node) for n, node in _parts(part) if n == _FUNCTION_NODES):
            return True
    return False


def _graph(graph: memoryview) -> bool:
    checks = {_GRAPH_NODES: _node, _GRAPH_TENSORS: _tensor, _GRAPH_SPARSE: _sparse}
    return any(number in checks and checks[number](part) for number, part in _parts(graph))


def _node(node: memoryview) -> bool:
    return any(_attribute(part) for number, part in _parts(node) if number == _NODE_ATTRIBUTES)


def _attribute(attribute: memoryview) -> bool:
    for number, part in _parts(attribute):
        if number in _ATTRIBUTE_TENSORS and _tensor(part):
            return True
        if number in _ATTRIBUTE_GRAPHS and _graph(part):
            return True
        if number in _ATTRIBUTE_SPARSE and _sparse(part):
            return True
    return False


def _sparse(tensor: memoryview) -> bool:
    return any(_tensor(part) for number, part in _parts(tensor) if number in _SPARSE_PARTS)


def _tensor(tensor: memoryview) -> bool:
    return any(number in (_EXTERNAL_DATA, _DATA_LOCATION) and len(part) for number, part in _parts(tensor))


def _parts(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Field number and content of each field; a number that is not 0 counts as one byte, 0 as none."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, memoryview(b"\1" if value else b"")
            continue
        size = 8 if kind == _FIXED64 else 4
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind not in (_FIXED64, _FIXED32):
            raise ValueError("expected a protobuf message. Received: other bytes")
        if at + size > len(message):
            raise ValueError("expected a whole protobuf message. Received: one that ends early")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if byte < 0x80:
            return value, at
    raise ValueError("expected a whole protobuf message. Received: one that ends early")
