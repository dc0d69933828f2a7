"""A model against what a user would pick instead, on the same images: figures and Markdown tables.

    python benchmarks/quality.py stem --model stem --doses 2 5 10 50 200 --fields 20 --json build/quality-stem.jsonl
    python benchmarks/quality.py tomo --data FOLDER --keras TomoGAN.h5
    python benchmarks/quality.py volume --model tomo
    python benchmarks/quality.py general
    python benchmarks/quality.py real --model stem --data FOLDER --keras TomoGAN.h5
    python benchmarks/quality.py stem --with n2v n2v2 --careamics PYTHON --n2v-seconds 60
    python benchmarks/quality.py stem --json build/quality-stem.jsonl --table --by period

Every method's figures of every field are one line of the JSON file; started again, it computes what is missing there.
``--table`` computes nothing. Rivals are those of `rivals.py` whose package is installed (``pip install bm3d``,
``PyWavelets``). Noise2Void and N2V2 run only where they are asked for (``--with``), in an interpreter of their own that
has ``careamics`` (``--careamics PYTHON``), on each image until its epochs, steps or seconds are over; all else runs
without it. FOLDER holds the real images; without ``--data`` it is that of the environment variable NAPARI_HUSH_DATA.

- stem: lattices of all kinds, period 5.5 to 41 px, scanned with jitter, counting noise, lag, readout and spikes.
- tomo: foam from few projections with counting noise, 13 (1/32 of the 402 that leave no streaks in 256 px) and 32 (1/32
  of the customary 1024); a real tooth from 30 projections.
- volume: neighbouring slices of foam, each with noise of its own; the middle one of five, and the first, which has
  neighbours on one side only. Two models with the same JSON file are compared in one table.
- general: dead leaves and scikit-image's own pictures, 0 to 1, with Gaussian noise (of 255) and other kinds.
- real: images of lattices without truth.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fields import REAL_IMAGES, cases, make_field
from napari_hush.errors import InputError
from rivals import (
    CAREAMICS_HELP,
    LEARNING,
    METHODS,
    OURS,
    Method,
    Training,
    applies,
    find_careamics,
    make_methods,
    what_is_missing,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

Line = dict[str, Any]
PERIODS = (5.5, 8.0, 12.0, 20.0, 41.0)  # px


def key(line: Line) -> tuple[Any, ...]:
    return tuple(line[name] for name in ("domain", "condition", "field", "size", "method", "variant"))


def read_lines(path: Path) -> list[Line]:
    """Read what is there; a line that was cut off when the process ended does not count."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines


def append_line(path: Path, line: Line) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


def measure(args: argparse.Namespace, methods: dict[tuple[str, str], Method], todo: Iterable[tuple[str, int]]) -> None:
    """Compute every line that is missing, and append it to the file."""
    done = {key(line) for line in read_lines(args.json)}
    for condition, number in todo:
        start = time.perf_counter()
        case = {"domain": args.domain, "condition": condition, "field": number, "size": args.size}
        missing = [
            (method, variant)
            for method, variant in methods
            if applies(method, condition, number, args.n2v_fields)
            and key({**case, "method": method, "variant": variant}) not in done
        ]
        if not missing:
            continue
        field = make_field(args.domain, condition, number, args.size, args.data)
        words = []
        for method, variant in missing:
            begin = time.perf_counter()
            try:
                output = methods[method, variant](field)
            except InputError as error:  # a strict guard, or periodic blocks, where no lattice is found
                print(f"{method}, {condition} #{number}: {error}", flush=True)
                continue
            seconds = time.perf_counter() - begin
            figures = {k: float(f"{v:.6g}") for k, v in field.judge(np.asarray(output)).items() if np.isfinite(v)}
            line = {**case, "method": method, "variant": variant, "seconds": round(seconds, 3)}
            append_line(args.json, {**line, "figures": figures, "about": field.about})
            words.append(f"{method} {figures['psnr']:.2f}" if "psnr" in figures else method)
        elapsed = time.perf_counter() - start
        print(f"{args.domain} {condition} #{number}, {elapsed:.0f} s: {', '.join(words)}", flush=True)


@dataclass(frozen=True, kw_only=True)
class Column:
    """How a figure is printed: as mean and standard deviation over the fields, or as their sum."""

    title: str
    spec: str
    total: bool = False
    factor: float = 1.0


ACROSS: dict[str, dict[str, Column]] = {  # a table each: methods down, conditions across
    "stem": {"psnr": Column(title="PSNR, dB", spec=".1f"), "ssim": Column(title="SSIM", spec=".3f")},
    "tomo": {
        "psnr": Column(title="PSNR, dB", spec=".1f"),
        "ssim": Column(title="SSIM", spec=".3f"),
        "mse": Column(title="MSE", spec=".3g"),
    },
    "volume": {
        "psnr": Column(title="PSNR, dB", spec=".2f"),
        "ssim": Column(title="SSIM", spec=".3f"),
    },
    "general": {
        "psnr": Column(title="PSNR, dB, data range 1", spec=".2f"),
        "ssim": Column(title="SSIM, data range 1", spec=".3f"),
        "edges_r": Column(title="Correlation of the gradients' magnitudes", spec=".3f"),
        "lowpass_slope": Column(title="Low-pass slope (4 px)", spec=".3f"),
    },
    "real": {},
}
DOWN: dict[str, dict[str, Column]] = {  # one table: conditions and methods down, figures across
    "stem": {
        "recall": Column(title="recall", spec=".3f"),
        "precision": Column(title="precision", spec=".3f"),
        "position_error": Column(title="position error, rms / a", spec=".3f"),
        "limit": Column(title="its limit", spec=".3f", factor=2**0.5),
        "position_transfer": Column(title="transfer of positions", spec=".2f"),
        "height_transfer": Column(title="of heights", spec=".2f"),
        "vacancies_filled": Column(title="vacancies filled, %", spec=".1f"),
        "atoms_in_voids": Column(title="atoms in voids, all fields", spec=".0f", total=True),
        "dent_depth_error": Column(title="dent depth error, %", spec=".1f"),
        "lowpass_slope": Column(title="low-pass slope", spec=".3f"),
    },
    "tomo": {
        "pores_found": Column(title="pores found, %", spec=".1f"),
        "pores_invented": Column(title="pores invented, per field", spec=".1f"),
        "edges_r": Column(title="correlation of the gradients' magnitudes", spec=".3f"),
        "lowpass_slope": Column(title="low-pass slope (8 px)", spec=".3f"),
    },
    "volume": {
        "pores_found": Column(title="pores found, %", spec=".1f"),
        "pores_invented": Column(title="pores invented, per field", spec=".1f"),
        "edges_r": Column(title="correlation of the gradients' magnitudes", spec=".3f"),
    },
    "general": {},
    "real": {
        "lattice_displacement": Column(title="lattice displacement, a", spec=".4f"),
        "phantom_lattice": Column(title="phantom lattice, %", spec=".1f"),
        "lowpass_slope": Column(title="low-pass slope", spec=".3f"),
        "lowpass_r": Column(title="low-pass r", spec=".4f"),
        "lattice_gain": Column(title="lattice gain", spec=".2f"),
        "columns_lost": Column(title="columns lost", spec=".0f"),
        "columns_new": Column(title="new", spec=".0f"),
        "columns_moved": Column(title="moved", spec=".0f"),
    },
}
GAUSSIAN = {f"{images}, Gaussian {sigma}": -0.3 for images in ("leaves", "pictures") for sigma in (15, 25, 50)}
COUNTING = {f"{images}, Poisson-Gaussian": 0.0 for images in ("leaves", "pictures")}
GOALS: dict[str, list[tuple[tuple[str, ...], dict[str, float]]]] = {  # PSNR over the best of these, by condition, dB
    "stem": [(("bm3d", "gaussian"), {"2": 4.0, "5": 4.0, "10": 4.0, "50": 3.0})],
    "tomo": [(("noisy",), {"": 6.0}), (("bm3d",), {"": 1.0})],
    "volume": [],
    "general": [(("bm3d",), GAUSSIAN | COUNTING)],
    "real": [],
}
NOTES = {
    "stem": "Dose in counts per pixel at image value 1. The detector's unit is the distance of nearest columns. "
    "Fields without slow contrast (5 % of the mean) have no low-pass slope. "
    "Position errors are rms distances in periods of the columns found; their limit is the Cramer-Rao bound of lone "
    "columns for the dose alone: the scan's jitter, lag and readout noise come on top. Transfer is the slope of the "
    "deviations from the ideal lattice on the true ones, of the fields that tell it to 0.1; a scan's jitter is in it.",
    "tomo": "Dose in photons that a pixel of the slice gets from all its rays together. The tooth's reference is a "
    "real reconstruction from 180 projections, with noise of its own.",
    "volume": "Dose as in the domain tomo, slices 1 px apart. No real volume is at hand: the tooth is one slice.",
    "general": "",
    "real": "Without truth every figure compares with the noisy image; methods that ask for the noise get an estimate.",
}


class Results:
    """The figures of one domain, by condition, field, and method with its variant."""

    def __init__(self, lines: Iterable[Line], titles: dict[str, str] | None = None) -> None:
        self.values: dict[tuple[str, tuple[int, int], tuple[str, str]], Line] = {}
        for line in lines:
            place = (line["field"], line["size"])
            self.values[line["condition"], place, (line["method"], line["variant"])] = line
        conditions = list(dict.fromkeys(condition for condition, _, _ in self.values))
        self.conditions = sorted(conditions, key=lambda c: float(c) if c.replace(".", "").isdigit() else np.inf)
        order = list(METHODS)
        self.methods = sorted({method for _, _, method in self.values}, key=lambda m: (order.index(m[0]), m[1]))
        names = [(method, variant.split()[0]) for method, variant in self.methods if variant]
        self.titles = {}
        for method, variant in self.methods:
            first = (variant.split() or [""])[0]
            ours = method in OURS
            self.titles[method, variant] = (titles or {}).get(method, METHODS[method]).format(first if ours else "")
            if names.count((method, first)) > 1:
                self.titles[method, variant] += f" ({variant})"

    def get(self, condition: str, method: tuple[str, str], name: str) -> dict[tuple[int, int], float]:
        """One figure of all fields that have it."""
        found = {}
        for (c, place, m), line in self.values.items():
            if (c, m) == (condition, method):
                value = line["figures"].get(name, line["about"].get(name))
                if value is not None:
                    found[place] = value
        return found

    def gains(self, condition: str, model: tuple[str, str], rivals: Iterable[tuple[str, str]]) -> dict[Any, float]:
        """PSNR over the best of some rivals, on the fields that all have."""
        ours, theirs = self.get(condition, model, "psnr"), [self.get(condition, r, "psnr") for r in rivals]
        shared = set(ours).intersection(*theirs) if theirs else set()
        return {place: ours[place] - max(values[place] for values in theirs) for place in sorted(shared)}


def spread(values: Iterable[float], spec: str, most: int = 0) -> str:
    """Mean ± standard deviation, and of how many where it is not of all."""
    found = np.array(list(values))
    if not len(found):
        return "-"
    text = f"{found.mean():{spec}}"
    text += f" ± {found.std(ddof=1):{spec.removeprefix('+')}}" if len(found) > 1 else ""
    return f"{text} ({len(found)})" if len(found) < most else text


def print_table(head: list[str], rows: list[list[str]]) -> None:
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    print("\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n", flush=True)


def print_tables(domain: str, lines: list[Line], by: str | None) -> None:
    """Print everything about one domain as Markdown."""
    results = Results(lines, {"gaussian": "Gaussian, 1 px"} if domain == "real" else {})
    fields = {c: len({place for condition, place, _ in results.values if condition == c}) for c in results.conditions}
    print(f"{domain}, fields: {'; '.join(f'{c}: {n}' for c, n in fields.items())}.")
    print(f"Mean ± standard deviation over the fields; in brackets of how many, where not of all. {NOTES[domain]}\n")
    groups: dict[str, list[str]] = {}
    for condition in results.conditions:
        groups.setdefault(condition.rpartition(", ")[0], []).append(condition)
    for group, conditions in groups.items() if ACROSS[domain] else ():
        head = [c.removeprefix(f"{group}, ") for c in conditions]
        for name, column in ACROSS[domain].items():
            rows = []
            for method in results.methods:
                found = [results.get(c, method, name) for c in conditions]
                if any(found):
                    cells = [
                        spread((column.factor * v for v in values.values()), column.spec, fields[c])
                        for c, values in zip(conditions, found, strict=True)
                    ]
                    rows.append([results.titles[method], *cells])
            print_table([f"{column.title}{f', {group}' if group else ''}", *head], rows)
    if DOWN[domain]:
        print_table(["", "", *(c.title for c in DOWN[domain].values())], list(rows_down(domain, results)))
    for model in results.methods:
        if model[0] == "model" and ACROSS[domain]:
            for conditions in groups.values():
                print_gains(results, model, conditions, fields)
            print_goals(domain, results, model)
            if by:
                print_split(results, model, by)
    timed = {
        m: [line["seconds"] for (_, _, method), line in results.values.items() if method == m] for m in results.methods
    }
    print("Seconds per field: " + ", ".join(f"{results.titles[m]} {np.mean(s):.2g}" for m, s in timed.items() if s))


def rows_down(domain: str, results: Results) -> Iterable[list[str]]:
    for condition in results.conditions:
        for method in results.methods:
            cells = []
            for name, column in DOWN[domain].items():
                values = [column.factor * v for v in results.get(condition, method, name).values()]
                summed = f"{sum(values):{column.spec}}" if values else "-"
                cells.append(summed if column.total else spread(values, column.spec))
            if any(cell not in ("-", "0") for cell in cells):
                yield [condition, results.titles[method], *cells]


def print_gains(results: Results, model: tuple[str, str], conditions: list[str], fields: dict[str, int]) -> None:
    """Print how far the model's PSNR lies above each other method's, on the same fields."""
    rows = []
    for other in results.methods:
        found = [results.gains(c, model, [other]).values() for c in conditions]
        if other != model and any(found):
            cells = [spread(f, "+.2f", fields[c]) for f, c in zip(found, conditions, strict=True)]
            rows.append([results.titles[other], *cells])
    print_table([f"PSNR of {results.titles[model]} minus that of, dB", *conditions], rows)


def print_goals(domain: str, results: Results, model: tuple[str, str]) -> None:
    for names, goals in GOALS[domain]:
        rivals = [m for m in results.methods if m[0] in names]
        if len(rivals) < len(names):
            continue
        words = " and ".join(results.titles[m] for m in rivals)
        for condition in results.conditions:
            gains = list(results.gains(condition, model, rivals).values())
            goal = goals.get(condition, goals.get(""))
            if gains and goal is not None:
                verdict = "reached" if np.mean(gains) >= goal else "NOT reached"
                better = f"the better of {words}" if len(rivals) > 1 else words
                print(f"- {condition}: {results.titles[model]} minus {better}: {spread(gains, '+.2f')} dB,", end=" ")
                print(f"goal {goal:+.1f}: {verdict}")
    print()


def print_split(results: Results, model: tuple[str, str], by: str) -> None:
    """Print the gain over BM3D by the lattice's period or kind."""
    groups: dict[str, dict[str, list[float]]] = {}
    bm3d = ("bm3d", "")
    for condition in results.conditions:
        for place, gain in results.gains(condition, model, [bm3d]).items():
            value = results.values[condition, place, model]["about"][by]
            if by == "period":
                upper = next((edge for edge in PERIODS[1:] if value < edge), PERIODS[-1])
                value = f"{PERIODS[PERIODS.index(upper) - 1]:04.1f} to {upper:g} px"
            groups.setdefault(value, {}).setdefault(condition, []).append(gain)
    rows = [
        [value, *(f"{spread(gains.get(c, []), '+.2f')} ({len(gains.get(c, []))})" for c in results.conditions)]
        for value, gains in sorted(groups.items())
    ]
    print_table([f"{by}: PSNR of {results.titles[model]} over BM3D, dB (fields)", *results.conditions], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("domain", choices=("stem", "tomo", "volume", "general", "real"))
    parser.add_argument("--model", help="a bundled name or a model file; by default that of the domain, for real stem")
    parser.add_argument("--doses", type=float, nargs="+", help="counts per pixel; stem, tomo and volume only")
    parser.add_argument("--angles", type=int, nargs="+", default=[13, 32], help="projections; tomo and volume only")
    parser.add_argument("--fields", type=int, default=20, help="per dose; of general as many leaves, and pictures")
    parser.add_argument("--only", default="", metavar="WORDS", help="conditions with these words, as in the tables")
    parser.add_argument("--size", type=int, default=256, help="side of a field, px")
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="by default all that can run here")
    parser.add_argument("--json", type=Path, help="default: build/quality-DOMAIN.jsonl")
    parser.add_argument("--data", type=Path, default=os.environ.get("NAPARI_HUSH_DATA"), help="folder of real images")
    parser.add_argument("--keras", type=Path, help="the published TomoGAN.h5")
    parser.add_argument("--with", dest="also", nargs="+", choices=LEARNING, help="rivals that train on each image, too")
    parser.add_argument("--careamics", help=f"{CAREAMICS_HELP}; by default this one")
    parser.add_argument("--n2v-fields", type=int, default=3, help="--with is slow: only the first so many fields")
    parser.add_argument("--n2v-epochs", type=int, default=100, help="per image; the first limit that is reached counts")
    parser.add_argument("--n2v-steps", type=int, default=2000, help="per image")
    parser.add_argument("--n2v-seconds", type=int, default=120, help="of training per image")
    parser.add_argument("--table", action="store_true", help="only print the tables")
    parser.add_argument("--by", choices=("period", "kind"), help="split the gain over BM3D; stem only")
    args = parser.parse_args()
    args.model = args.model or {"real": "stem", "volume": "tomo"}.get(args.domain, args.domain)
    args.doses = args.doses or ([2, 5, 10, 50, 200] if args.domain == "stem" else [10, 50, 500])
    args.json = args.json or Path("build", f"quality-{args.domain}.jsonl")
    args.data = args.data and Path(args.data)
    if args.domain == "real" and not args.table and args.data is None:
        parser.error("the domain real needs its images: give --data FOLDER, or set NAPARI_HUSH_DATA")
    if not args.table:
        learning = [name for name in LEARNING if name in (*(args.also or ()), *(args.methods or ()))]
        python = find_careamics(args.careamics) if learning else None
        if args.careamics and learning and not python:
            parser.error(what_is_missing(learning))
        limits = {"epochs": args.n2v_epochs, "steps": args.n2v_steps, "seconds": args.n2v_seconds}
        methods = make_methods(
            args.domain,
            args.model,
            args.methods,
            training=Training(python=python, **limits) if python else None,
            also=args.also,
            keras=args.keras,
        )
        todo = cases(args.domain, args.doses, args.angles, args.fields, args.data)
        measure(args, methods, (case for case in todo if args.only in case[0]))
    lines = [line for line in read_lines(args.json) if line["domain"] == args.domain]
    if args.domain == "real":
        print("\n".join(f"- {name}: {words}" for name, (_, words) in REAL_IMAGES.items()) + "\n")
    print_tables(args.domain, lines, by=args.by)


if __name__ == "__main__":
    main()
