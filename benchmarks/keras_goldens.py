"""The imported Keras models against what Keras computes from the same input.

    python benchmarks/keras_goldens.py FOLDER

FOLDER holds the models (``NAME.h5``), the input ``in_A256_noisy.npy`` and Keras' outputs ``out_NAME_A256_xS.npy`` for
the input times S; ``_UPlegacy`` are those with TensorFlow 1's bilinear upsampling.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import torch

import napari_hush as hush


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    image = np.load(folder / "in_A256_noisy.npy").squeeze()
    print("| model | upsampling | input times | max difference | output from | to |\n|---|---|---|---|---|---|")
    for path in sorted(folder.glob("out_*_A256_x*.npy")):
        name, _, rest = path.stem.removeprefix("out_").partition("_A256_x")
        factor, _, mode = rest.partition("_")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that the file does not store its upsampling
            options = {"upsampling": "bilinear_tf1"} if mode else {}
            model = hush.load_model(folder / f"{name}.h5", **options)
        with torch.inference_mode():
            x = torch.from_numpy(image.astype(np.float32) * float(factor))[None, None]
            ours = model.network(x)[0, 0].numpy()
        keras = np.load(path).squeeze()
        upsampling = model.hyperparameters.get("upsampling", "none")
        difference = np.abs(ours - keras).max()
        print(f"| {name} | {upsampling} | {factor} | {difference:.1e} | {keras.min():.4g} | {keras.max():.4g} |")


if __name__ == "__main__":
    main()
