"""The largest difference between tiled and whole-image results, for every network, as a share of the range.

Automatic tiles are those of an image that is not in memory (a zarr array); they are smaller than those of one that is.

python benchmarks/tiled_equals_whole.py IMAGE [--crop 1000x1003]
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
import zarr

import napari_hush as hush
from napari_hush.engines import ENGINES, has_openvino
from napari_hush.io import read_image
from napari_hush.model import Model
from napari_hush.networks import NETWORKS

VARIANTS = {"tomogan": [{"upsampling": "nearest"}, {"upsampling": "bilinear"}, {"upsampling": "bilinear_tf1"}]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("--crop", default="1000x1003", help="a second, odd size")
    args = parser.parse_args()
    image = np.asarray(read_image(args.image).data)
    crop = tuple(int(n) for n in args.crop.split("x"))
    models = {"stem": hush.load_model("stem")}
    for name in NETWORKS:
        for hyperparameters in VARIANTS.get(name, [{}]):
            models[" ".join([name, *map(str, hyperparameters.values())])] = random_model(name, hyperparameters)
    print("| model | engine | size | " + " | ".join(["64", "128", "256", "automatic"]) + " |\n|" + "---|" * 7)
    for name, model in models.items():
        for engine in ENGINES:
            if engine == "openvino" and not has_openvino():
                continue
            for part in (image, image[: crop[0], : crop[1]]):
                options = {"device": "cpu", "engine": engine, "precision": "float32"}
                whole = hush.denoise(part, model, tile=False, **options)
                differences = []
                for tile in (64, 128, 256, None):
                    tiled = hush.denoise(part if tile else zarr.array(part), model, tile=tile, **options)
                    differences.append(f"{np.abs(tiled - whole).max() / np.ptp(whole):.1e}")
                size = " x ".join(map(str, part.shape))
                print(f"| {name} | {engine} | {size} | " + " | ".join(differences) + " |", flush=True)


def random_model(architecture: str, hyperparameters: dict[str, object]) -> Model:
    """A network whose random weights keep the signal's size, so that an error would show."""
    torch.manual_seed(0)
    model = Model.create(architecture, hyperparameters)
    for parameter in model.network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter)
    return model


if __name__ == "__main__":
    main()
