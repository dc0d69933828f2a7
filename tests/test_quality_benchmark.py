"""The benchmark of quality: rivals that denoise, figures that tell right from wrong, a file to go on with."""

from __future__ import annotations

import json
from argparse import Namespace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return lambda name: import_module(name)


def test_rivals_denoise_whatever_the_unit(benchmark: Any) -> None:
    rng = np.random.default_rng(0)
    clean = 1000 + 300 * ndimage.gaussian_filter(rng.standard_normal((32, 32)), 3, mode="wrap") * 10
    sigma = 0.5 * clean.std()
    noisy = clean + sigma * rng.standard_normal(clean.shape)
    error = {
        name: np.mean((run(noisy, clean, sigma) - clean) ** 2) / sigma**2
        for name, run in benchmark("rivals").available().items()
    }
    assert error.pop("noisy") == pytest.approx(1, abs=0.15)
    assert max(error.values()) < 0.6, error


def test_a_rival_gets_the_noise_of_each_channel(benchmark: Any) -> None:
    fields, rivals = benchmark("fields"), benchmark("rivals")
    clean = np.zeros((2, 8, 8))
    noisy = np.stack([np.indices((8, 8)).sum(axis=0) % 2 * size for size in (1.0, 3.0)])
    field = fields.Field(noisy=noisy, clean=clean, judge=lambda _: {})
    told = rivals.rival_method(lambda plane, _, sigma: np.full_like(plane, sigma))(field)
    assert told[:, 0, 0] == pytest.approx([0.5, 1.5])


def test_pores_are_found_lost_and_invented(benchmark: Any) -> None:
    clean = np.full((40, 40), 0.8)
    clean[5:11, 5:11] = clean[25:31, 5:11] = 0
    output = np.full((40, 40), 0.8)
    output[5:11, 6:12] = output[25:31, 25:31] = 0  # the first a little aside, the second elsewhere
    figures = benchmark("fields").pores(clean, output, np.ones((40, 40), dtype=bool))
    assert figures == {"pores_found": 50, "pores_invented": 1}


def test_a_field_depends_on_its_number_alone(benchmark: Any) -> None:
    fields = benchmark("fields")
    make = fields.make_field
    first, again, other = (make("general", "leaves, Gaussian 25", n, 32, None) for n in (3, 3, 4))
    assert np.array_equal(first.noisy, again.noisy) and not np.array_equal(first.clean, other.clean)
    assert fields.edge_correlation(first.clean, 2 * first.clean) == pytest.approx(1)
    assert first.judge(first.noisy)["psnr"] == pytest.approx(20.2, abs=0.4)


def test_a_second_run_computes_only_what_is_missing(benchmark: Any, tmp_path: Path) -> None:
    quality = benchmark("quality")
    calls: list[str] = []

    def method(name: str) -> Any:
        return lambda field: calls.append(name) or field.noisy

    args = Namespace(domain="general", json=tmp_path / "lines.jsonl", size=32, data=None, n2v_fields=3)
    todo = [("leaves, Gaussian 25", 0), ("leaves, Gaussian 25", 1)]
    quality.measure(args, {("noisy", ""): method("noisy")}, todo)
    with args.json.open("a") as file:
        file.write('{"domain": "gene')  # the process was ended here
    quality.measure(args, {("noisy", ""): method("noisy"), ("tv", ""): method("tv")}, todo)
    assert calls == ["noisy", "noisy", "tv", "tv"]
    assert len(quality.read_lines(args.json)) == 4


def test_the_table_says_whether_a_goal_is_reached(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        {"domain": "stem", "condition": dose, "field": k, "size": 256, "method": method, "variant": variant,
         "seconds": 1.0, "figures": {"psnr": psnr + k}, "about": {"period": 9.0, "kind": "square"}}
        for dose in ("50", "10") for k in range(2)
        for method, variant, psnr in (("bm3d", "", 20.0), ("gaussian", "", 21.0), ("model", "stem 01234567", 24.5))
    ]  # fmt: skip
    benchmark("quality").print_tables("stem", json.loads(json.dumps(lines)), by="period")
    printed = capsys.readouterr().out
    assert "| PSNR, dB | 10 | 50 |" in printed  # sorted as numbers
    assert "| **stem** | 25.0 ± 0.7 | 25.0 ± 0.7 |" in printed
    assert "10: **stem** minus the better of best Gaussian and BM3D: +3.50 ± 0.00 dB, goal +4.0: NOT reached" in printed
    assert "50: **stem** minus the better of best Gaussian and BM3D: +3.50 ± 0.00 dB, goal +3.0: reached" in printed
    assert "| 08.0 to 12 px | +4.50 ± 0.00 (2) | +4.50 ± 0.00 (2) |" in printed
