"""Kill denoisings at random moments, let each go on with --resume, and compare with a run that was left alone.

Three kinds of output in turn: a stack into a .zarr, tile by tile; a TIFF, which is put together in memory and begun
anew; and a folder of TIFF, of which those that are done stay done. SIGKILL, SIGTERM and SIGINT in turn; a third of the
kills come in the first half of a run. After each the same command with --resume must give the same bits and
leave nothing else behind, in the folder of the output and in that for temporary files. Prints a Markdown table.

    python benchmarks/kill_denoise.py --kills 30
"""

from __future__ import annotations

import argparse
import io
import os
import random
import shutil
import signal
import tempfile
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from killing import kill, wait
from napari_hush import cli
from napari_hush.io import read_image
from napari_hush.io.sniff import is_zarr
from napari_hush.model import Model

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}


@dataclass(frozen=True)
class Kind:
    """A kind of output: what is typed, and how its result is called."""

    inputs: str
    output: str
    options: tuple[str, ...] = ("--tile", "64", "--guard", "False")  # whose margin would leave one tile


KINDS = {
    "zarr": Kind("stack.npy", "out.zarr"),
    "TIFF": Kind("image.npy", "out.tif"),
    "folder": Kind("many_*.npy", "out"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--size", type=int, default=256, help="side of the images, px")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder / "temporary")  # others leave files in the system's
        Path(tempfile.tempdir).mkdir()
        make_inputs(folder, args.size)
        with redirect_stdout(io.StringIO()):  # so that all libraries are loaded before the first fork
            cli.main(["denoise", f"{folder}/image.npy", "-o", f"{folder}/first.zarr", "--engine", "torch"])
        whole, seconds = {}, {}
        for label, kind in KINDS.items():
            begin = time.monotonic()
            if start(folder, "whole", kind, resume=False).wait():
                raise SystemExit(f"{label}: the run that was left alone failed")
            seconds[label], whole[label] = time.monotonic() - begin, contents(folder / "whole" / kind.output)
        print("| kill | output | signal | after | exit code | left by it | after --resume |")
        print("|---|---|---|---|---|---|---|")
        failures = 0
        for number in range(args.kills):
            label = list(KINDS)[number // 3 % 3]
            words = one_kill(folder, label, SIGNALS[number % 3], whole[label], rng.uniform(*span(rng)), seconds)
            failures += not words.endswith("same bits, nothing left |")
            print(f"| {number + 1} | {words}", flush=True)
        print(f"\n{args.kills - failures} of {args.kills} runs went on with the same bits and left nothing behind")
        raise SystemExit(min(failures, 1))


def span(rng: random.Random) -> tuple[float, float]:
    """Between which shares of a whole run's time a kill comes."""
    return (0.05, 0.5) if rng.random() < 1 / 3 else (0.5, 1.0)


def one_kill(
    folder: Path, label: str, how: int, expected: dict[str, bytes], share: float, seconds: dict[str, float]
) -> str:
    """Kill a run and let it go on; a row of the table."""
    kind, place = KINDS[label], folder / "killed"
    before = names(Path(tempfile.gettempdir()))
    while True:
        child, begin = start(folder, "killed", kind, resume=False), time.monotonic()
        if wait(child, share * seconds[label]):
            break
        seconds[label] = time.monotonic() - begin  # it had ended: the machine has less to do than before
        shutil.rmtree(place)
    waited = time.monotonic() - begin
    code = kill(child, how)
    # one that was ending anyway may say so, if all of its output is there
    whole = code == 0 and contents(place / kind.output) == expected
    left = ", ".join(sorted(path.name for path in place.rglob("*") if path.name.startswith("."))) or "nothing"
    name = signal.Signals(how).name
    again = start(folder, "killed", kind, resume=True).wait()
    found = contents(place / kind.output)
    problems = [f"exit code {again}"] if again else []
    if found.keys() != expected.keys() or any(found[key] != expected[key] for key in found):
        problems.append("OTHER BITS")
    if code != CODES[how] and not whole and not is_early(code, how):
        problems.append(f"exit code {code} after {name}")
    rest = [path.name for path in place.iterdir() if path.name != kind.output] + [
        path.name for path in place.rglob(".*")
    ]
    rest += sorted(names(Path(tempfile.gettempdir())) - before)
    if rest:
        problems.append(f"LEFT: {', '.join(rest)}")
    shutil.rmtree(place)
    return f"{label} | {name} | {waited:.1f} s | {code} | {left} | {'; '.join(problems) or 'same bits, nothing left'} |"


def is_early(code: int, how: int) -> bool:
    """Whether a process was ended before it had begun to take signals, or after that."""
    return code == -how


def make_inputs(folder: Path, size: int) -> None:
    """Noise on a smooth picture, and a small model with weights that matter."""
    rng = np.random.default_rng(0)
    large = np.kron(rng.random((17, 17)), np.ones((32, 32)))  # more than 512 px: a .zarr of two levels
    np.save(folder / "stack.npy", (large * 50 + rng.normal(0, 10, (2, *large.shape))).astype(np.float32))
    smooth = np.kron(rng.random((size // 32, size // 32)), np.ones((32, 32)))
    np.save(folder / "image.npy", (smooth * 50 + rng.normal(0, 10, (size, size))).astype(np.float32))
    for number in range(6):
        np.save(folder / f"many_{number}.npy", (smooth * 50 + rng.normal(0, 10, (size, size))).astype(np.float32))
    torch.manual_seed(0)
    model = Model.create("unet", {"width": 4, "levels": 2})
    model.save(folder / "model.safetensors")


class Child:
    """The command in a process that is forked from this one, so that its libraries need not be loaded each time."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background of a shell ignore it
                os.chdir(folder)
                nowhere = os.open(os.devnull, os.O_RDWR)
                for stream in (0, 1, 2):
                    os.dup2(nowhere, stream)
                code = cli.main(arguments)
            except KeyboardInterrupt:  # before the command has begun: Python ends so
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                os.kill(os.getpid(), signal.SIGINT)
            finally:
                os._exit(code)

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self) -> int:
        """Wait for the end; the exit code."""
        while self.poll() is None:
            time.sleep(0.001)
        return int(self.returncode or 0)


def start(folder: Path, name: str, kind: Kind, *, resume: bool) -> Child:
    (folder / name).mkdir(exist_ok=True)
    arguments = ["denoise", kind.inputs, "-o", f"{name}/{kind.output}", "--model", "model.safetensors"]
    arguments += ["--engine", "torch", "--frames", "False", "--no-verdict", *kind.options]
    return Child(folder, [*arguments, *(["--resume"] if resume else [])])


def contents(path: Path) -> dict[str, bytes]:
    """The pixels of all images of an output, by their names in it; what their files say besides holds the time."""
    if not path.exists():
        return {}
    if is_zarr(path):  # the chunks of all levels
        chunks = (one for one in path.rglob("*") if one.is_file() and one.name != "zarr.json")
        return {str(one.relative_to(path)): one.read_bytes() for one in chunks}
    images = [path] if path.is_file() else [one for one in path.iterdir() if one.name[0] != "."]
    return {str(one.relative_to(path)): np.asarray(read_image(one).data[...]).tobytes() for one in images}


def names(folder: Path) -> set[str]:
    return set(os.listdir(folder))


if __name__ == "__main__":
    main()
