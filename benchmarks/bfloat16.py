"""How far bfloat16 results are from float32 ones: PSNR over the sample images and over given files.

    python benchmarks/bfloat16.py [IMAGE ...] [--model stem] [--device cuda]

With a GPU this runs what `denoise` runs on it by default, against float32 without TF32. On a processor with native
bfloat16 it runs what `denoise` runs there; elsewhere torch's emulation of the same arithmetic, which is slow but rounds
alike.
"""

from __future__ import annotations

import argparse

import numpy as np

import napari_hush as hush
from napari_hush.fidelity.metrics import psnr
from napari_hush.inference.engines.openvino_engine import has_openvino, native_bfloat16
from napari_hush.inference.engines.torch_engine import TorchEngine
from napari_hush.io import read_image
from napari_hush.synthesis.samples import SAMPLES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", nargs="*")
    parser.add_argument("--model", default="stem")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    on_cpu = args.device == "cpu"
    engine = "openvino" if on_cpu and has_openvino() and native_bfloat16() else "torch"
    native = native_bfloat16() if on_cpu else TorchEngine.best_precision(args.device) == "bfloat16"
    images = {name: hush.sample(name).noisy for name in SAMPLES}
    images |= {path: np.asarray(read_image(path).data) for path in args.images}
    print(f"bfloat16 by {engine}, {'native' if native else 'emulated'}, {args.device}\n")
    print("| image | PSNR of bfloat16 against float32, dB |\n|---|---|")
    for name, image in images.items():
        results = {
            precision: hush.denoise(
                image, args.model, device=args.device, engine=engine, precision=precision, guard=False
            )
            for precision in ("float32", "bfloat16")
        }
        print(f"| {name} | {psnr(results['float32'], results['bfloat16']):.1f} |", flush=True)


if __name__ == "__main__":
    main()
