"""The layers in the description of a Keras model, of Keras 2 and 3 alike: names, settings, and what feeds them.

Nothing is built from a description: it is text that is looked at.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from napari_hush.errors import ModelFileError

MAX_LAYERS = 500
MODELS = ("Model", "Functional", "Sequential")


class Layer(BaseModel):
    """One layer of a description.

    Parameters
    ----------
    class_name : str
        What it is.
    config : dict
        Its settings.
    inbound_nodes : list
        For each time that it is used, the calls ``[layer, node, tensor, arguments]`` that feed it.
    """

    class_name: str = Field(max_length=100)
    config: dict[str, Any]
    inbound_nodes: list[Any] = Field(default_factory=list)

    @property
    def name(self) -> str:
        """How it is called."""
        return str(self.config.get("name", ""))[:100]


class Description(BaseModel):
    """The layers of a model, in the file's order."""

    layers: list[Layer] = Field(min_length=1, max_length=MAX_LAYERS)
    input_layers: list[Any]
    output_layers: list[Any]


class _Config(BaseModel):
    class_name: Literal["Model", "Functional", "Sequential"]
    config: Description


def short(value: object, length: int = 80) -> str:
    """Show a value of unknown length in a message."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= length else f"{text[: length - 3]}..."


def parse_text(text: str) -> Description:
    """The description in a file's JSON.

    Raises
    ------
    ModelFileError
        If it describes no model of one image to one image; the message lacks the path.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"model_config is not the JSON that it should be ({short(str(error))})") from error
    return parse(raw)


def parse(raw: Any) -> Description:
    """The description of a model, or of one inside of another, see `parse_text`."""
    found = raw.get("class_name") if isinstance(raw, dict) else None
    try:
        graph = _Config.model_validate(_from_keras_3(_as_graph(raw) if found == "Sequential" else raw)).config
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ModelFileError(f"model_config describes a {short(found)} ({where}: {first['msg'].lower()})") from error
    names = [layer.name for layer in graph.layers]
    if len(set(names)) < len(names):
        raise ModelFileError("has two layers of one name; save the model again")
    for what, ends in (("inputs", graph.input_layers), ("outputs", graph.output_layers)):
        if len(ends) != 1:
            raise ModelFileError(f"is a network of {len(ends)} {what}, expected one image in and one image out")
        match ends[0]:
            case [str(name), 0, 0] if name in names:
                pass
            case end:
                raise ModelFileError(f"names {short(end)} among its {what}, expected one of its layers")
    return graph


def sources_of(layer: Layer) -> list[list[tuple[str, int]]]:
    """What feeds a layer, for each time that it is used: layers, and which use of them.

    Raises
    ------
    ModelFileError
        If anything but images is passed.
    """
    found = []
    for calls in layer.inbound_nodes:
        if not (isinstance(calls, list) and calls and all(map(_is_call, calls))):
            raise ModelFileError(f"layer {layer.name!r} is connected in an unknown way, got {short(calls)}")
        found.append([(c[0], c[1]) for c in calls])
    return found


def _is_call(call: object) -> bool:
    """Whether it is the one result of a layer, with nothing else passed."""
    return isinstance(call, list) and (
        len(call) >= 3 and isinstance(call[0], str) and isinstance(call[1], int) and call[2] == 0 and not any(call[3:])
    )


def _as_graph(raw: dict[str, Any]) -> dict[str, Any]:
    """Spell out what a Sequential leaves unsaid; anything unexpected is left for the validation to refuse."""
    config = raw.get("config")
    layers = config.get("layers") if isinstance(config, dict) else config
    if not (isinstance(layers, list) and layers and all(isinstance(x, dict) for x in layers)):
        return raw
    configs = [x["config"] if isinstance(x.get("config"), dict) else {} for x in layers]
    classes = [x.get("class_name") for x in layers]
    if classes[0] != "InputLayer":
        classes.insert(0, "InputLayer")
        shape = configs[0].get("batch_input_shape")
        if shape is None and isinstance(config, dict):
            shape = config.get("build_input_shape")
        configs.insert(0, {"name": "input", "batch_input_shape": shape})
    names = [c.get("name") for c in configs]
    nodes: list[Any] = [[], *([[[name, 0, 0, {}]]] for name in names[:-1])]
    graph = [
        {"class_name": name, "config": c, "inbound_nodes": n}
        for name, c, n in zip(classes, configs, nodes, strict=True)
    ]
    ends = {"input_layers": [[names[0], 0, 0]], "output_layers": [[names[-1], 0, 0]]}
    return {"class_name": "Sequential", "config": {"layers": graph, **ends}}


def _from_keras_3(raw: Any) -> Any:
    """What Keras 3 writes, as Keras 2 wrote it; anything unexpected is left for the validation to refuse."""
    config = raw.get("config") if isinstance(raw, dict) else None
    if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        return raw
    layers = [_layer_from_keras_3(layer) if isinstance(layer, dict) else layer for layer in config["layers"]]
    ends = {key: _ends(config[key]) for key in ("input_layers", "output_layers") if key in config}
    return {**raw, "config": {**config, "layers": layers, **ends}}


def _layer_from_keras_3(layer: dict[str, Any]) -> dict[str, Any]:
    config, nodes = layer.get("config"), layer.get("inbound_nodes")
    if isinstance(config, dict) and "batch_shape" in config:
        config = {**config, "batch_input_shape": config["batch_shape"]}
    if isinstance(nodes, list) and all(isinstance(node, dict) for node in nodes):
        nodes = [_calls(node) for node in nodes]
    return {**layer, "config": config, "inbound_nodes": nodes if nodes is not None else []}


def _calls(node: dict[str, Any]) -> list[Any]:
    """The images among a call's arguments; what else is passed stays, and is refused later."""
    arguments = node.get("args")
    flat: list[Any] = []
    for argument in arguments if isinstance(arguments, list) else [arguments]:
        flat += argument if isinstance(argument, list) else [argument]
    passed = node.get("kwargs")
    extra = {k: v for k, v in passed.items() if v not in (None, False)} if isinstance(passed, dict) else passed
    calls: list[Any] = []
    for value in flat:
        match value:
            case {"class_name": "__keras_tensor__", "config": {"keras_history": [name, node_number, tensor]}}:
                calls.append([name, node_number, tensor, *([extra] if extra else [])])
            case _:
                calls.append(value)
    return calls


def _ends(ends: Any) -> Any:
    """Inputs or outputs as a list, where Keras 3 names one alone."""
    match ends:
        case [str(), int(), int()]:
            return [ends]
        case dict():
            return list(ends.values())
    return ends
