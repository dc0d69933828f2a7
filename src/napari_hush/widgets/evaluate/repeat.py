"""What the dock *Evaluate* would check, as Python and as a command that give the same figures."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from napari_hush.errors import InputError
from napari_hush.fidelity.settings import EvaluationSettings
from napari_hush.repeat import call, defaults_of, given_of, options
from napari_hush.widgets.parts.layer_code import preamble, require_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Image

    from napari_hush.widgets.evaluate.choice import Inputs

IMPORTS = (
    "from napari_hush.fidelity.settings import EvaluationSettings",
    "from napari_hush.fidelity.stacks import evaluate_steps",
    "from napari_hush.progress import drain",
)


def python_of(layers: Mapping[str, Image], inputs: Inputs) -> str:
    """Python whose ``found`` is the `Evaluation` of a run.

    Parameters
    ----------
    layers : mapping of str to Image
        The noisy one, the denoised one, and where they are chosen the truth and repeats.
    inputs : Inputs
        What a run would take of them.
    """
    _refuse_part(layers, inputs)
    if inputs.truth is not None and "truth" not in layers:
        raise InputError("the truth of a sample is in no layer: choose its layer under Truth, or leave it out")
    noisy = inputs.noisy
    code = {
        name: f"{name}[..., :3]" if layer.rgb and layer.data.shape[-1] == 4 else name for name, layer in layers.items()
    }
    named = {"channel_axis": noisy.channel_axis, "planes": inputs.planes, "pixel_size": noisy.pixel_size}
    checked = [
        code["noisy"],
        code["denoised"],
        code.get("truth", "None"),
        call("EvaluationSettings", **given_of(inputs.settings)),
    ]
    checked += [f"repeats={code['repeats']}"] if "repeats" in code else []
    steps = call("evaluate_steps", *checked, **{name: value for name, value in named.items() if value is not None})
    lines = [*preamble(list(layers.items()), *IMPORTS), f"found = drain({steps})", "print(found.verdict)"]
    return "\n".join(line for line in lines if line != "import napari_hush as hush") + "\n"


def command_of(layers: Mapping[str, Image], inputs: Inputs) -> str:
    """The command; parameters as of `python_of`.

    Raises
    ------
    InputError
        If no file holds what a layer shows, or a part of the planes is checked, which the command does not do.
    """
    _refuse_part(layers, inputs)
    if inputs.truth is not None and "truth" not in layers:
        raise InputError("the truth of a sample is in no file: save it, and choose its layer under Truth")
    if inputs.planes is not None and len(inputs.noisy.data.shape) - (inputs.noisy.channel_axis is not None) > 2:
        raise InputError("the command checks all planes: choose Planes: all of them, or copy as Python")
    files = {name: require_file(layer).name for name, layer in layers.items()}
    words = ["napari-hush", "evaluate", files["noisy"], files["denoised"]]
    for role in ("truth", "repeats"):
        words += [f"--{role}", files[role]] if role in files else []
    return shlex.join([*words, *options(asdict(inputs.settings), defaults_of(EvaluationSettings))])


def _refuse_part(layers: Mapping[str, Any], inputs: Inputs) -> None:
    whole = tuple(layers["noisy"].data[0].shape if layers["noisy"].multiscale else layers["noisy"].data.shape)
    if tuple(inputs.noisy.data.shape) != whole:
        raise InputError("of so large a plane what is in sight is checked: crop the layers, and save the parts")
