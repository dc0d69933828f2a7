"""The largest difference between tiled and whole-image results, for every network, as a share of the range.

Automatic tiles are those of an image that is not in memory (a zarr array); they are smaller than those of one that is.
The last column compares tiles of 128 px with the bare network, called once by torch on the whole normalised image: for
the deep networks with instance normalisation that is what float32 costs when sums are taken in another order.

    python benchmarks/tiled_equals_whole.py IMAGE [--crop 1000x1003] [--networks NAME ...]
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
import zarr

import napari_hush as hush
from napari_hush.inference.engines.openvino_engine import has_openvino
from napari_hush.inference.engines.registry import ENGINES
from napari_hush.io import read_image
from napari_hush.model import Model
from napari_hush.networks import NETWORKS

VARIANTS = {"tomogan": [{"upsampling": "nearest"}, {"upsampling": "bilinear"}, {"upsampling": "bilinear_tf1"}]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("--crop", default="1000x1003", help="a second, odd size")
    parser.add_argument("--networks", nargs="*", default=["stem", *NETWORKS])
    parser.add_argument("--engines", nargs="*", default=list(ENGINES))
    args = parser.parse_args()
    image = np.asarray(read_image(args.image).data)
    crop = tuple(int(n) for n in args.crop.split("x"))
    models = {}
    for name in args.networks:
        for hyperparameters in VARIANTS.get(name, [{}]):
            label = " ".join([name, *map(str, hyperparameters.values())])
            models[label] = random_model(name, hyperparameters) if name in NETWORKS else hush.load_model(name)
    print("| model | engine | size | " + " | ".join(["64", "128", "256", "automatic", "bare"]) + " |\n|" + "---|" * 8)
    for name, model in models.items():
        for engine in args.engines:
            if engine == "openvino" and not has_openvino():
                continue
            for part in (image, image[: crop[0], : crop[1]]):
                options = {"device": "cpu", "engine": engine, "precision": "float32"}
                whole = hush.denoise(part, model, tile=False, **options)
                results = [
                    hush.denoise(part if tile else zarr.array(part), model, tile=tile, **options)
                    for tile in (64, 128, 256, None)
                ]
                pairs = [*((tiled, whole) for tiled in results), (results[1], bare(model, part))]
                differences = [f"{np.abs(a - b).max() / np.ptp(whole):.1e}" for a, b in pairs]
                size = " x ".join(map(str, part.shape))
                print(f"| {name} | {engine} | {size} | " + " | ".join(differences) + " |", flush=True)


def bare(model: Model, image: np.ndarray) -> np.ndarray:
    """The network itself on the normalised image, mirrored up to a multiple of its stride."""
    norm = model.normalization.fit(lambda: iter([image]))
    padded = np.pad(norm.apply(image), [(0, -n % model.stride) for n in image.shape], mode="symmetric")
    with torch.inference_mode():
        result = model.network(torch.from_numpy(padded)[None, None])[0, 0].numpy()
    return norm.invert(result[: image.shape[0], : image.shape[1]])


def random_model(architecture: str, hyperparameters: dict[str, object]) -> Model:
    """A network whose random weights keep the signal's size, so that an error would show.

    For CycleGAN's, the normal distribution of 0.02 with which their training begins.
    """
    torch.manual_seed(0)
    model = Model.create(architecture, hyperparameters)
    for parameter in model.network.parameters():
        if parameter.ndim > 1 and model.staged:
            torch.nn.init.normal_(parameter, 0, 0.02)
        elif parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter)
    return model


if __name__ == "__main__":
    main()
