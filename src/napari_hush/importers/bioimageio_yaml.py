"""The description in a BioImage.IO package, which may be hostile, and the normalisation that it asks for."""

from __future__ import annotations

from typing import Any, TypeVar

import yaml

from napari_hush.errors import ModelFileError
from napari_hush.importers.pytorch.pickle_content import show
from napari_hush.normalize import NormalizationRule

MAX_DEPTH = 40
MAX_NODES = 8000  # values in a description; those of published models have some hundreds
MAX_NUMBER = 64  # letters of one
T = TypeVar("T")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without what unfolds to any size or takes hours, and without deep nesting."""

    depth = 0
    n_nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ModelFileError(
                "its description uses YAML aliases, which can unfold to any size; write it without them"
            )
        if self.depth >= MAX_DEPTH:
            raise ModelFileError(f"its description is nested more than {MAX_DEPTH} levels deep, far beyond a model's")
        self.n_nodes += 1
        if self.n_nodes > MAX_NODES:
            raise ModelFileError(f"its description has more than {MAX_NODES:,} values, far beyond a model's")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise ModelFileError("its description merges mappings (<<), which no model's does; write it without them")

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        text = str(self.construct_scalar(node))
        if ":" in text or len(text) > MAX_NUMBER:  # a number to the base of 60, of any length
            raise ModelFileError(f"its description has a number that no model needs ({show(text, 30)})")
        kind = self.construct_yaml_int if node.tag.endswith("int") else self.construct_yaml_float
        number: int | float = kind(node)
        return number


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)


def read_yaml(data: bytes) -> dict[str, Any]:
    """The description as plain values; no object of Python is ever made.

    Raises
    ------
    ModelFileError
        If it is no mapping in YAML, or asks for more than plain values; the message lacks the path.
    """
    try:
        content = yaml.load(data.decode("utf-8"), _Loader)  # a subclass of the safe one
    except yaml.constructor.ConstructorError as error:
        problem = show(str(error.problem), 100)
        raise ModelFileError(
            f"its description asks for more than plain values ({problem}); nothing was run, do not trust this file"
        ) from error
    except ModelFileError:
        raise
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        # besides its own errors, the loader lets those of conversions through: of dates, numbers, texts
        reason = show(" ".join(str(error).split()), 100)
        raise ModelFileError(f"its description is no valid YAML ({reason}); get the whole package again") from error
    if not isinstance(content, dict):
        raise ModelFileError(f"its description is a {type(content).__name__}, expected a mapping")
    return content


def take(content: dict[str, Any], key: str, kind: type[T]) -> T:
    """A value that must be there, of a type.

    Raises
    ------
    ModelFileError
        If it is not.
    """
    value = content.get(key)
    if not isinstance(value, kind):
        came = "nothing" if value is None else f"a {type(value).__name__}"
        raise ModelFileError(f"its description should have a {kind.__name__} under {key!r}, but has {came}")
    return value


def read_rule(content: dict[str, Any]) -> NormalizationRule:
    """The normalisation that the preprocessing of the one input amounts to.

    Raises
    ------
    ModelFileError
        If there are several inputs, or operations that `NormalizationRule` cannot express.
    """
    inputs = take(content, "inputs", list)
    if len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise ModelFileError(f"has {len(inputs)} inputs, expected one image")
    operations = inputs[0].get("preprocessing") or []
    if not isinstance(operations, list):
        raise ModelFileError(f"its preprocessing is a {type(operations).__name__}, expected a list of operations")
    percentiles: tuple[float, float] | None = None
    gain, offset = 1.0, 0.0
    clip: tuple[float, float] | None = None
    for operation in operations:
        name = operation.get("id") if isinstance(operation, dict) else operation
        arguments = (operation.get("kwargs") if isinstance(operation, dict) else None) or {}
        if name == "ensure_dtype":
            continue
        if name == "scale_range" and (percentiles, gain, offset, clip) == (None, 1.0, 0.0, None):
            _refuse_unless(name, arguments, {"axes", "min_percentile", "max_percentile", "eps"})
            if not _is_joint(arguments.get("axes"), inputs[0]):
                raise ModelFileError(
                    "its preprocessing normalises every channel by itself, expected all channels alike"
                )
            percentiles = (float(arguments.get("min_percentile", 0)), float(arguments.get("max_percentile", 100)))
        elif name == "scale_linear" and clip is None:
            _refuse_unless(name, arguments, {"gain", "offset"})
            factor = float(arguments.get("gain", 1))
            gain, offset = gain * factor, offset * factor + float(arguments.get("offset", 0))
        elif name == "clip" and clip is None:
            _refuse_unless(name, arguments, {"min", "max"})
            clip = (float(arguments["min"]), float(arguments["max"]))
        else:
            raise ModelFileError(_unknown(name))
    return _make_rule(percentiles, gain, offset, clip, inputs[0])


def _is_joint(axes: object, described: dict[str, Any]) -> bool:
    """Whether percentiles are those of all channels together, as they are where there is one."""
    if axes is None or not isinstance(axes, list) or "channel" in axes:
        return True
    found = [axis for axis in described.get("axes") or [] if isinstance(axis, dict) and axis.get("type") == "channel"]
    return all(isinstance(axis.get("channel_names"), list) and len(axis["channel_names"]) == 1 for axis in found)


def _make_rule(
    percentiles: tuple[float, float] | None,
    gain: float,
    offset: float,
    clip: tuple[float, float] | None,
    described: dict[str, Any],
) -> NormalizationRule:
    if gain <= 0:
        raise ModelFileError(f"its preprocessing inverts the contrast (gain {gain:g}), expected a positive gain")
    if percentiles:
        target = (offset, offset + gain)
        if clip not in (None, target):
            raise ModelFileError(f"its preprocessing clips to {clip}, expected the ends of the range, {target}")
        return NormalizationRule(low=percentiles[0], high=percentiles[1], target=target, clip=bool(clip))
    if (gain, offset) != (1, 0) or clip:
        low, high = clip or (0.0, 1.0)  # any two values give the same map
        source = ((low - offset) / gain, (high - offset) / gain)
        return NormalizationRule(method="range", source=source, target=(low, high), clip=bool(clip))
    data = described.get("data")
    stated = data.get("range") if isinstance(data, dict) else None
    match stated:
        case [float() | int() as low, float() | int() as high] if -1e30 < low < high < 1e30:  # some state infinities
            return NormalizationRule(method="identity", target=(float(low), float(high)))
    return NormalizationRule(method="identity")


def _refuse_unless(name: str, arguments: object, known: set[str]) -> None:
    if not isinstance(arguments, dict) or not arguments.keys() <= known:
        raise ModelFileError(_unknown(name, arguments))
    odd = [key for key, value in arguments.items() if key != "axes" and not isinstance(value, int | float)]
    if odd or (name == "clip" and arguments.keys() != known):
        raise ModelFileError(_unknown(name, arguments))


def _unknown(name: object, arguments: object = None) -> str:
    details = f" with {show(str(arguments), 80)}" if arguments else ""
    return (
        f"its preprocessing {show(str(name), 40)!r}{details} cannot be expressed here, expected scale_range, "
        "scale_linear and clip with single numbers, in this order"
    )
