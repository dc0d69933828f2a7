"""The options file that the training script of CycleGAN and pix2pix leaves beside its checkpoints."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_hush.importers.pytorch.pickle_content import show

if TYPE_CHECKING:
    from pathlib import Path

    from napari_hush.importers.pytorch.cyclegan_keys import Generator

NAMES = ("train_opt.txt", "opt.txt", "test_opt.txt")  # the first that says anything
MAX_BYTES = 1 << 16
# What says how the network came to be; not where its data lay.
FIELDS = frozenset(
    """batchSize batch_size beta1 crop_size direction fineSize gan_mode init_gain init_type input_nc lambda_A lambda_B
    lambda_L1 lambda_identity loadSize load_size lr lr_policy model n_epochs n_epochs_decay name netD netG ngf niter
    niter_decay no_dropout no_flip norm output_nc pool_size preprocess resize_or_crop which_direction
    which_model_netG""".split()
)
MAX_LINE = 500
LINE = re.compile(r"\s*(\w+):\s(.*?)\s*(?:\[default:.*)?")


def read_options(path: Path) -> tuple[str, dict[str, str]]:
    """The useful options beside a checkpoint, and the name of their file; nothing where there is none.

    Parameters
    ----------
    path : Path
        The checkpoint.
    """
    for name in NAMES:
        beside = path.with_name(name)
        try:
            if not beside.is_file():
                continue
            with beside.open("rb") as file:
                text = file.read(MAX_BYTES).decode("utf-8", "replace")
        except OSError:  # what cannot be read tells nothing, and nothing depends on it
            continue
        matches = filter(None, (LINE.fullmatch(line) for line in text.splitlines() if len(line) <= MAX_LINE))
        if found := {match[1]: show(match[2]) for match in matches if match[1] in FIELDS and match[2]}:
            return name, found
    return "", {}


def find_contradictions(options: dict[str, str], generator: Generator, *, backward: bool) -> list[str]:
    """In which options the weights are not what the file says, one text each.

    Parameters
    ----------
    options : dict
        Of `read_options`.
    generator : Generator
        What the weights are.
    backward : bool
        Whether it is G_B, whose input has the channels of the output.
    """
    arguments = generator.hyperparameters
    ends = ("output_nc", "input_nc") if backward else ("input_nc", "output_nc")
    found = {
        "netG": generator.net,
        "which_model_netG": generator.net,  # its name in 2017
        "norm": arguments["norm"],
        "ngf": str(arguments["width"]),
        ends[0]: str(arguments["in_channels"]),
        ends[1]: str(arguments["out_channels"]),
    }
    if "dropout" in arguments:
        found["no_dropout"] = str(not arguments["dropout"])
    said = {name: value.replace("syncbatch", "batch") for name, value in options.items()}
    return [
        f"{name} is {value}, not {options[name]}" for name, value in found.items() if said.get(name, value) != value
    ]
