"""Give the parts of an ONNX graph names and an order that depend on nothing but the network.

The converters number their nodes over the whole life of a process, so that two exports of the same weights would have
two hashes; and the hash identifies the network that a temperature or a threshold belongs to.
"""

import re
from collections.abc import Sequence
from typing import Any

_COUNTERS = re.compile(r"_+\d+(?=/|:|$)")  # of vgg_1/block1_conv1_2/Relu__85, whose layers are vgg and block1_conv1


def canonical(graph: Any) -> None:
    """Order and name the parts of `graph` (an `onnx.GraphProto`), in place; its inputs and outputs keep their names.

    Nodes come in the order in which the outputs need them, constants in the order in which nodes do; parts that no
    output needs are dropped. A graph with graphs inside (If, Loop) stays as it is: names reach across their borders.
    """
    if any(attribute.HasField("g") or attribute.graphs for node in graph.node for attribute in node.attribute):
        return
    nodes = in_order(graph.node, [tensor.name for tensor in graph.output])
    names = {tensor.name: tensor.name for tensor in [*graph.input, *graph.output]}
    names[""] = ""  # an input that is left out
    constants = {tensor.name: tensor for tensor in graph.initializer}
    used: list[Any] = []
    for number, node in enumerate(nodes):
        node.doc_string = ""
        node.name = f"{_COUNTERS.sub('', node.name) or node.op_type}_{number}"
        for name in node.input:
            if name in constants and name not in names:
                names[name] = f"constant_{len(used)}"
                used.append(constants[name])
        for place, name in enumerate(node.output):
            names.setdefault(name, f"{node.name}:{place}")
    for node in nodes:
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    for tensor in used:
        tensor.name = names[tensor.name]
    graph.doc_string = ""  # it says which function of the process the graph was traced from
    _replace(graph.node, nodes)
    _replace(graph.initializer, used)
    del graph.value_info[:]


def in_order(nodes: Sequence[Any], outputs: Sequence[str]) -> list[Any]:
    """List the nodes that the outputs need, each after those whose results it uses; first output and input first."""
    maker = {name: node for node in nodes for name in node.output if name}
    found: list[Any] = []
    done: set[int] = set()
    waiting = [(maker[name], False) for name in reversed(outputs) if name in maker]
    while waiting:
        node, ready = waiting.pop()
        if id(node) in done:
            continue
        if ready:
            done.add(id(node))
            found.append(node)
            continue
        waiting.append((node, True))
        waiting += [(maker[name], False) for name in reversed(node.input) if name in maker]
    return found


def _replace(field: Any, values: Sequence[Any]) -> None:
    copies = [type(value).FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(copies)
