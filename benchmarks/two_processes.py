"""Train in two processes and in one with batches of twice the size; the losses of the first steps must agree.

For supervised training within 1e-5; where two networks compete, differences in rounding grow from step to step.

    python benchmarks/two_processes.py
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

CHILD = """
import json
import os
import sys
import numpy as np
import torch
import napari_hush as hush

torch.set_num_threads(1)
method, steps, batch, out = sys.argv[1:]
rng = np.random.default_rng(0)
clean = np.kron(rng.random((8, 12, 12)), np.ones((8, 8))).astype(np.float32)
noisy = clean + rng.normal(0, 0.2, clean.shape).astype(np.float32)
settings = {"patch": 32, "batch_size": int(batch), "steps": int(steps), "validate_every": 10, "workers": 1}
settings |= {"network_options": "width = 8", "warmup": 0, "network": "unet"}
if method == "cyclegan":
    settings |= {"network": "cyclegan_resnet", "network_options": "width = 8, blocks = 2", "pool": 0}
events = []
checkpoint = out + ".ckpt"
model = hush.train(method, (noisy, clean), settings, checkpoint=checkpoint, progress=events.append)
weights = sum(float(value.double().abs().sum()) for value in model.network.state_dict().values())
with open(out + os.environ.get("RANK", "0"), "w") as file:
    json.dump({"losses": [event.losses["loss"] for event in events], "weights": weights}, file)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["supervised", "tomogan", "cyclegan", "noise2void"])
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    worst = 0.0
    print(f"{'':>12} {'loss of step':>25} {'relative difference at step':>38}")
    print(f"{'method':>12} {1:12} {args.steps:12} {1:12} {5:12} {'largest':>12} {'ranks agree':>12}")
    for method in args.methods:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            script = folder / "child.py"
            script.write_text(CHILD)
            torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
            run([*torchrun, str(script), method, str(args.steps), "2", str(folder / "two")])
            run([sys.executable, str(script), method, str(args.steps), "4", str(folder / "one")])
            one, two, other = (json.loads((folder / file).read_text()) for file in ("one0", "two0", "two1"))
            pairs = list(zip(one["losses"], two["losses"], strict=True))
            differences = [abs(a - b) / max(abs(a), 1e-12) for a, b in pairs]
            agree = two["losses"] == other["losses"] and two["weights"] == other["weights"]
            if method == "supervised" or not agree:
                worst = max(worst, max(differences) if agree else 1.0)
            shown = " ".join(f"{d:12.1e}" for d in (differences[0], differences[4], max(differences)))
            print(f"{method:>12} {pairs[0][0]:12.6g} {pairs[-1][0]:12.6g} {shown} {agree!s:>12}", flush=True)
    raise SystemExit(worst > 1e-5)


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])


if __name__ == "__main__":
    main()
