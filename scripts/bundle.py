"""Put a trained model into the package: weights in half precision, and its measured figures on its card.

    python scripts/bundle.py build/stem/stem.safetensors --measured build/quality-stem.jsonl

The figures are those that `benchmarks/quality.py` measured. What half precision costs is measured here, on simulated
test fields of the model's own recipe, and stands on the card, too. Writes NAME.safetensors and NAME.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import napari_hush as hush
from napari_hush.card import ZOO
from napari_hush.datasets.drawing import Drawer
from napari_hush.fidelity.metrics import psnr
from recipes import RECIPES
from train_bundled import page

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from quality import Results, read_lines, spread

FIGURES = {  # on the card: title and format; everything else is in docs/results.md
    "psnr": ("PSNR", ".1f"),
    "ssim": ("SSIM", ".3f"),
    "recall": ("recall", ".3f"),
    "precision": ("precision", ".3f"),
    "position_error": ("position error, a", ".3f"),
    "dent_depth_error": ("dent depth error, %", ".1f"),
    "pores_found": ("pores found, %", ".0f"),
    "edges_r": ("gradients' correlation", ".3f"),
    "lowpass_slope": ("low-pass slope", ".3f"),
}
BESIDE = {"psnr": ("noisy", "bm3d"), "ssim": ("noisy", "bm3d"), "recall": ("noisy",), "position_error": ("noisy",)}
RIVALS = {"noisy": "noisy", "bm3d": "BM3D", "model": "model"}


def half_cost(model: hush.Model, count: int = 12) -> float:
    """PSNR in dB that the rounding of the weights costs, mean over test fields."""
    data = replace(RECIPES[model.card.name].data, n=4 * count, test_share=0.25)
    drawer = Drawer(data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "half.safetensors"
        model.save(path, half=True)
        rounded = hush.load_model(path)
        lost = []
        for number in range(data.n_test):
            pair = drawer("test", number)
            whole, half = (hush.denoise(pair.noisy, m, guard=False, rescale=False) for m in (model, rounded))
            lost.append(psnr(pair.clean, whole) - psnr(pair.clean, half))
    return float(np.mean(lost))


def table(results: Results, domain: str) -> str:
    """One row per condition, mean ± standard deviation over the fields."""
    head, rows = ["dose" if domain in ("stem", "tomo") else "images"], []
    places = {name: next((m for m in results.methods if m[0] == name), None) for name in RIVALS}
    columns = [
        (name, place, f"{title} {RIVALS[rival]}" if name in BESIDE else title, spec)
        for name, (title, spec) in FIGURES.items()
        for rival in (*BESIDE.get(name, ()), "model")
        if (place := places[rival]) and any(results.get(c, place, name) for c in results.conditions)
    ]
    head += [title for _, _, title, _ in columns]
    for condition in results.conditions:
        cells = [spread(results.get(condition, place, name).values(), spec) for name, place, _, spec in columns]
        rows.append(f"| {condition} | " + " | ".join(cells) + " |")
    return "\n".join(["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *rows])


def readable(training: dict[str, Any]) -> dict[str, Any]:
    """What the card of a training says, in lines for people."""
    settings, data = training["settings"], training["data"]
    found = {
        "method": training["method"],
        "network": f"{settings['network']} ({settings['network_options'] or 'as it is by default'})",
        "data": ", ".join(f"{name} {value}" for name, value in data.items() if name not in ("layout", "workers")),
        "settings": ", ".join(f"{k} {v}" for k, v in settings.items() if k not in ("network", "network_options")),
        "steps": training["steps"],
        "minutes": round(training["seconds"] / 60),
        "hardware": f"{training['machine']}, {training['device']}, {training['threads']} threads",
        "versions": ", ".join(f"{name} {value}" for name, value in training["versions"].items()),
    }
    return found | {key: training[key] for key in ("start", "stopped", "note") if training.get(key)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="what train_bundled.py wrote")
    parser.add_argument("--measured", type=Path, required=True, help="the lines that quality.py wrote")
    parser.add_argument("--note", default="", help="what the card should add about the training")
    parser.add_argument("--out", type=Path, default=ZOO)
    args = parser.parse_args()
    model = hush.load_model(args.model)
    lines = read_lines(args.measured)
    domain = lines[0]["domain"]
    cost = half_cost(model)
    print(f"half precision costs {cost:.4f} dB")
    fields = Counter(condition for condition, _ in {(line["condition"], line["field"]) for line in lines})
    counts = " or ".join(str(count) for count in sorted({*fields.values()} - {1}, reverse=True))
    results = Results(lines)
    told = any(method == "bm3d" for method, _ in results.methods)
    bm3d = ", BM3D with the true standard deviation of the noise" if told else ""
    metrics = {
        "command": f"python benchmarks/quality.py {domain} --model {model.card.name}",
        "protocol": f"{counts} fields for each row that no training saw, mean ± standard deviation; "
        f"PSNR in dB{bm3d}. More in docs/results.md.",
        "table": table(results, domain),
        "half_precision": f"the weights are kept in half precision, which costs {cost:.4f} dB",
    }
    training = readable(model.card.training | ({"note": args.note} if args.note else {}))
    recipe = RECIPES[model.card.name]  # what is known of a model grows after its training
    words = {"description": recipe.description, "limits": list(recipe.limits)}
    card = model.card.model_copy(update={"training": training, "metrics": metrics, **words})
    replace(model, card=card).save(args.out / f"{card.name}.safetensors", half=True)
    (args.out / f"{card.name}.md").write_text(page(card), encoding="utf-8")


if __name__ == "__main__":
    main()
