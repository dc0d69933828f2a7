"""The description in a BioImage.IO package, which may be hostile, and the normalisation that it asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import yaml

from napari_hush.errors import ModelFileError
from napari_hush.importers.pytorch.pickle_content import show
from napari_hush.normalize import NormalizationRule

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_HALO = 4096  # px
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


def read_rule(content: dict[str, Any], *, channels: int | None = None) -> NormalizationRule:
    """The normalisation that the preprocessing of the one input amounts to.

    Parameters
    ----------
    content : dict
        The description.
    channels : int, optional
        That the network takes, where that is known.

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
    rule = _Preprocessing()
    for operation in operations:
        name, arguments = name_of(operation)
        if name in ("scale_range", "zero_mean_unit_variance") and "mean" not in arguments:
            if not {"y", "x"} <= set(arguments.get("axes") or "yx"):
                raise ModelFileError("its preprocessing normalises every line by itself, expected the whole image")
            if channels != 1 and not _is_joint(arguments.get("axes"), inputs[0]):
                raise ModelFileError(
                    "its preprocessing normalises every channel by itself, expected all channels alike"
                )
        rule = rule.then(name, arguments)
    return rule.make(inputs[0])


def name_of(operation: object) -> tuple[object, dict[str, Any]]:
    """What an operation is called, in format 0.4 or 0.5, and its arguments."""
    if not isinstance(operation, dict):
        return operation, {}
    arguments = operation.get("kwargs") or {}
    if not isinstance(arguments, dict):
        raise ModelFileError(_unknown(operation.get("id"), arguments))
    arguments = {
        key: value[0]
        if key in ("mean", "std", "gain", "offset") and isinstance(value, list) and len(value) == 1
        else value
        for key, value in arguments.items()
        if (key, value) not in (("mode", "per_sample"), ("mode", "fixed"))
    }
    return operation.get("id", operation.get("name")), arguments


@dataclass(frozen=True)
class _Preprocessing:
    """What has been read of a list of operations: statistics of the image first, then a line, then a clip."""

    percentiles: tuple[float, float] | None = None
    standard: bool = False
    fixed: bool = False  # whether the line is that of a stated mean and deviation
    gain: float = 1.0
    offset: float = 0.0
    clip: tuple[float, float] | None = None

    def then(self, name: object, arguments: dict[str, Any]) -> _Preprocessing:
        """With one operation more."""
        first = self == _Preprocessing()
        if name == "ensure_dtype":
            return self
        if name == "scale_range" and first:
            _refuse_unless(name, arguments, {"axes", "min_percentile", "max_percentile", "eps"})
            ends = (float(arguments.get("min_percentile", 0)), float(arguments.get("max_percentile", 100)))
            return replace(self, percentiles=ends)
        if name == "zero_mean_unit_variance" and first and "mean" not in arguments:
            _refuse_unless(name, arguments, {"axes", "eps"})
            return replace(self, standard=True)
        if name in ("fixed_zero_mean_unit_variance", "zero_mean_unit_variance") and first:
            _refuse_unless(str(name), arguments, {"axes", "axis", "mean", "std", "eps"}, needed={"mean", "std"})
            mean, deviation = float(arguments["mean"]), float(arguments["std"])
            if not deviation > 0:
                raise ModelFileError(f"its preprocessing divides by a standard deviation of {deviation:g}")
            return replace(self, fixed=True, gain=1 / deviation, offset=-mean / deviation)
        if name == "scale_linear" and self.clip is None:
            _refuse_unless(name, arguments, {"axes", "gain", "offset"})
            factor = float(arguments.get("gain", 1))
            shifted = self.offset * factor + float(arguments.get("offset", 0))
            return replace(self, gain=self.gain * factor, offset=shifted)
        if name == "clip" and self.clip is None:
            _refuse_unless(name, arguments, {"min", "max"}, needed={"min", "max"})
            return replace(self, clip=(float(arguments["min"]), float(arguments["max"])))
        raise ModelFileError(_unknown(name))

    def make(self, described: dict[str, Any]) -> NormalizationRule:
        """The rule."""
        gain, offset, clip = self.gain, self.offset, self.clip
        if gain <= 0:
            raise ModelFileError(f"its preprocessing inverts the contrast (gain {gain:g}), expected a positive gain")
        if self.percentiles or self.standard:
            target = (offset - gain, offset + gain) if self.standard else (offset, offset + gain)
            if clip not in (None, target):
                raise ModelFileError(f"its preprocessing clips to {clip}, expected the ends of the range, {target}")
            if self.percentiles is None:
                return NormalizationRule(method="standard", target=target, clip=bool(clip))
            low, high = self.percentiles
            return NormalizationRule(low=low, high=high, target=target, clip=bool(clip))
        if (gain, offset) != (1, 0) or clip:
            # any two values give the same map; images of a stated deviation reach some deviations far
            low, high = clip or ((-10.0, 10.0) if self.fixed else (0.0, 1.0))
            source = ((low - offset) / gain, (high - offset) / gain)
            return NormalizationRule(method="range", source=source, target=(low, high), clip=bool(clip))
        data = described.get("data")
        stated = data.get("range") if isinstance(data, dict) else described.get("data_range")
        match stated:
            case [float() | int() as low, float() | int() as high] if -1e30 < low < high < 1e30:  # some say infinity
                return NormalizationRule(method="identity", target=(float(low), float(high)))
        return NormalizationRule(method="identity")


def check_axes(content: dict[str, Any]) -> None:
    """Refuse images that are stored column by column.

    Raises
    ------
    ModelFileError
        If X comes before Y.
    """
    for described in (*take(content, "inputs", list), *take(content, "outputs", list)):
        axes = described.get("axes") if isinstance(described, dict) else None
        names = [axis.get("id") if isinstance(axis, dict) else axis for axis in axes or []]
        if "x" in names and "y" in names and names.index("x") < names.index("y"):
            raise ModelFileError("its images are stored with x before y, expected y before x")


def check_postprocessing(content: dict[str, Any], rule: NormalizationRule) -> None:
    """Refuse what makes something else of the result than an image that is brought back to its own units.

    Raises
    ------
    ModelFileError
        If there are several outputs, or such an operation.
    """
    outputs = take(content, "outputs", list)
    if len(outputs) != 1 or not isinstance(outputs[0], dict):
        raise ModelFileError(f"has {len(outputs)} outputs, expected one image")
    operations = outputs[0].get("postprocessing") or []
    for operation in operations if isinstance(operations, list) else [operations]:
        name, arguments = name_of(operation)
        if name in ("ensure_dtype", "scale_mean_variance"):  # back to the units of the input, as is done here anyway
            continue
        if name == "scale_linear" and rule.source and rule.method == "range":
            (low, high), (first, last) = rule.target, rule.source
            gain = (last - first) / (high - low)
            found = [arguments.get("gain", 1), arguments.get("offset", 0)]
            if all(isinstance(v, int | float) for v in found) and np.allclose(found, [gain, first - low * gain], 1e-3):
                continue
        raise ModelFileError(
            f"its postprocessing {show(str(name), 40)!r} is not the way back to the units of the image: it makes "
            "something else, or cannot be expressed here"
        )


def stated_halo(content: dict[str, Any]) -> int:
    """What the package says that its output needs around it, px; 0 where it says nothing."""
    output = take(content, "outputs", list)[0]
    axes = output.get("axes")
    halos = [axis.get("halo") for axis in axes if isinstance(axis, dict)] if isinstance(axes, list) else []
    listed = output.get("halo")
    halos += listed if isinstance(listed, list) else []
    return max((halo for halo in halos if isinstance(halo, int) and 0 <= halo <= MAX_HALO), default=0)


def _is_joint(axes: object, described: dict[str, Any]) -> bool:
    """Whether percentiles are those of all channels together, as they are where there is one."""
    if isinstance(axes, str):  # of format 0.4, which does not name its channels
        return "c" in axes
    if not isinstance(axes, list) or "channel" in axes:
        return True
    found = [axis for axis in described.get("axes") or [] if isinstance(axis, dict) and axis.get("type") == "channel"]
    return all(isinstance(axis.get("channel_names"), list) and len(axis["channel_names"]) == 1 for axis in found)


def _refuse_unless(name: str, arguments: dict[str, Any], known: set[str], needed: Iterable[str] = ()) -> None:
    axes = {"axes", "axis"}
    odd = [key for key, value in arguments.items() if key not in axes and not isinstance(value, int | float)]
    if not set(needed) <= arguments.keys() <= known or odd:
        raise ModelFileError(_unknown(name, arguments))


def _unknown(name: object, arguments: object = None) -> str:
    details = f" with {show(str(arguments), 80)}" if arguments else ""
    return (
        f"its preprocessing {show(str(name), 40)!r}{details} cannot be expressed here, expected scale_range, "
        "zero_mean_unit_variance (fixed or not), scale_linear and clip with single numbers, in this order"
    )
