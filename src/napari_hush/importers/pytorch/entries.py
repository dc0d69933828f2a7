"""Finding the one generator in a checkpoint that may hold several networks, in dicts of their own or in one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch

from napari_hush.errors import InputError, ModelFileError
from napari_hush.importers.keras_config import short
from napari_hush.importers.pytorch.cyclegan_keys import (
    EXPECTED,
    WRAPPERS,
    clean_names,
    explain_foreign,
    is_discriminator,
    is_generator,
    read_names,
)
from napari_hush.importers.pytorch.folding import shape_of
from napari_hush.importers.pytorch.pickle_content import show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_hush.importers.pytorch.cyclegan_keys import Shapes

MAX_ENTRIES = 1000
MAX_TENSORS = 10_000
MAX_GENERATORS = 64  # in one flat dict
# where a generator begins in the names of a flat dict: what stands before is the name of its network
BEGINNING = re.compile(
    r"(?P<network>(?:[^.]+\.)*?)model\.(?:\d+\.conv_block\.|model\.0\.(?:weight|parametrizations\.weight))"
)


def choose(content: Any, entry: str | None) -> tuple[str, dict[str, torch.Tensor]]:
    """Find the one generator among what a file holds, and under which name; the file's own dict has the name "".

    Parameters
    ----------
    content : object
        What the file holds.
    entry : str, optional
        Which of several generators.

    Raises
    ------
    InputError
        If there is no such entry.
    ModelFileError
        If there is none, or several without one being named.
    """
    if entry is not None and not isinstance(entry, str):
        raise InputError(f"entry is the name of a generator in the file, got {type(entry).__name__}")
    if not isinstance(content, dict):
        raise ModelFileError(f"holds {_describe(content)}, expected the state_dict() of {EXPECTED}")
    found = _find_weights(content)
    generators = {
        ".".join(filter(None, (name, network))): tensors
        for name, weights in found.items()
        for network, tensors in _split(weights).items()
        if is_generator(clean_names(list(tensors)))
    }
    shown = ", ".join(show(name, 40) for name in list(generators)[:8])
    if entry is not None:
        if list(generators) == [""]:
            raise InputError(f"the file holds one network alone: leave out entry={short(entry)!r}")
        named = [name for name in generators if name == entry] or [n for n in generators if n.endswith(f".{entry}")]
        if len(named) != 1:
            raise InputError(f"no generator {short(entry)!r} in the file; it has {shown or 'none'}")
        return named[0], generators[named[0]]
    if len(generators) > 1:
        raise ModelFileError(
            f'holds several generators ({shown}): choose one, as in entry="{show(min(generators), 40)}"'
        )
    if generators:
        return next(iter(generators.items()))
    raise ModelFileError(_explain_nothing(content, found))


def _split(weights: Mapping[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """The generators in one dict, by what stands before their weights' names without the wrappers' words.

    Without any it is the whole dict under the name "", and so is one whose names begin with a generator's own.
    """
    beginnings = {match["network"] for name in weights if (match := BEGINNING.match(name))}
    if len(beginnings) > MAX_GENERATORS:
        raise ModelFileError(f"holds more than {MAX_GENERATORS} generators; save the weights of one alone")
    names = {
        start: ".".join(part for part in start.split(".") if part and part not in WRAPPERS) for start in beginnings
    }
    if not beginnings or ("" in beginnings and not any(names.values())):
        return {"": dict(weights)}
    found: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in weights.items():
        start = max((start for start in names if name.startswith(start)), key=len, default=None)
        if start is None:  # of another network: a discriminator, a loss
            continue
        inside = found.setdefault(names[start], {})
        if inside.setdefault(name.removeprefix(start), tensor) is not tensor:
            raise ModelFileError(
                f"has the weights of {show(names[start], 40)!r} twice; save one network's state_dict()"
            )
    return found


def _find_weights(content: dict[Any, Any]) -> dict[str, dict[str, torch.Tensor]]:
    """All dicts of tensors: the content itself, or what lies in it, or one level deeper."""
    if _is_weights(content):
        return {"": content}
    found: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in list(content.items())[:MAX_ENTRIES]:
        if _is_weights(value):
            found[str(name)] = value
        elif isinstance(value, dict):
            inside = list(value.items())[:MAX_ENTRIES]
            found |= {f"{name}.{deeper}": weights for deeper, weights in inside if _is_weights(weights)}
    return found


def _is_weights(value: object) -> bool:
    return (
        isinstance(value, dict)
        and 0 < len(value) <= MAX_TENSORS
        and all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in value.items())
    )


def _explain_nothing(content: dict[Any, Any], found: dict[str, dict[str, torch.Tensor]]) -> str:
    """Say what a file without a generator holds."""
    shapes: dict[str, Shapes] = {name: _list_shapes(tensors) for name, tensors in found.items()}
    if (found and all(map(is_discriminator, shapes.values()))) or "" in found:
        return explain_foreign(next(iter(shapes.values())))
    if "param_groups" in content and "state" in content:
        return f"the state of an optimizer, expected the state_dict() of {EXPECTED}; take the file of G, G_A or G_B"
    if not content:
        return f"an empty dict, expected the state_dict() of {EXPECTED}"
    keys = ", ".join(show(str(key), 30) for key in list(content)[:5])
    other = next((name for name, sizes in shapes.items() if not is_discriminator(sizes)), None)
    if other is not None:
        foreign = explain_foreign(shapes[other])
        return f"no generator under its {len(content)} keys ({keys}): {show(other, 40)!r} has {foreign}"
    return f"a dict without weights ({keys}), expected the state_dict() of {EXPECTED}"


def _list_shapes(tensors: dict[str, torch.Tensor]) -> Shapes:
    """Names and shapes, with weights in parts put together where that is possible."""
    try:
        names = read_names(list(tensors))
    except ModelFileError:
        return {new: tuple(tensors[old].shape) for new, old in clean_names(list(tensors)).items()}
    return {new: shape_of(source, tensors) for new, source in names.items()}


def _describe(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"a single tensor of shape {tuple(value.shape)}"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
