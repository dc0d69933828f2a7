"""The benchmark of quality: rivals that denoise, figures that tell right from wrong, a file to go on with."""

from __future__ import annotations

import json
from argparse import Namespace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from napari_hush.errors import InputError

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
        if name != "periodic"  # needs a lattice
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


@pytest.mark.parametrize("count", [0.7, 3.0, 20.0])
def test_stabilised_counts_with_readout_come_back_unbiased(benchmark: Any, count: float) -> None:
    gain, offset, readout = 4.0, 100.0, 2.0
    rng = np.random.default_rng(0)
    values = gain * rng.poisson(count, 200_000) + offset + readout * rng.standard_normal(200_000)
    line = benchmark("stabilised").VarianceLine(gain=gain, constant=readout**2 - gain * offset)
    stable = line.forward(values)
    assert stable.var() == pytest.approx(1, abs=0.5 if count < 1 else 0.06)
    back, plain = line.inverse(stable.mean()), (gain**2 * (stable.mean() ** 2 / 4 - 3 / 8) - line.constant) / gain
    assert (back - offset) / gain == pytest.approx(count, abs=0.1)
    # at less than one count readout below no count is cut off, which brightens both
    assert count < 1 or abs(back - offset - gain * count) < 0.5 * abs(
        plain - offset - gain * count
    )  # than the formula turned round


@pytest.mark.parametrize("told", [True, False])
def test_the_line_of_the_variance_is_found(benchmark: Any, told: bool) -> None:
    rng = np.random.default_rng(1)
    clean = 100 + 3 * (20 + 15 * np.sin(np.arange(128) / 20)) * np.ones((128, 1))  # 5 to 35 counts of gain 3 above 100
    noisy = 100 + 3 * rng.poisson((clean - 100) / 3) + 4 * rng.standard_normal(clean.shape)
    line = benchmark("stabilised").variance_line(noisy, clean if told else None)
    for value in (130.0, 190.0):
        assert line.gain * value + line.constant == pytest.approx(3 * (value - 100) + 16, rel=0.15)


def test_noise_that_does_not_grow_needs_no_stabilising(benchmark: Any) -> None:
    clean = np.zeros((32, 32))
    assert benchmark("stabilised").variance_line(clean + np.eye(32), clean) is None


def test_periodic_blocks_average_over_the_lattice(benchmark: Any) -> None:
    module = benchmark("periodic_blocks")
    y, x = np.indices((48, 48))
    clean = 4 * np.cos(2 * np.pi * y / 8) * np.cos(2 * np.pi * x / 9)
    noisy = clean + np.random.default_rng(0).standard_normal(clean.shape)
    found = module.periodic_blocks(noisy, np.array([[8.0, 0], [0, 9.0]]))
    assert np.mean((found - clean) ** 2) < 0.1  # a Gaussian filter of any width leaves more than 0.25
    with pytest.raises(InputError, match="needs a lattice"):
        module.periodic_blocks(np.random.default_rng(0).standard_normal((48, 48)))
    with pytest.raises(InputError, match="at least 32 px"):
        module.periodic_blocks(noisy[:16])


def test_what_a_rival_lacks_is_said(benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rivals = benchmark("rivals")
    assert rivals.find_careamics(str(tmp_path / "none")) is None
    assert "does not start" in capsys.readouterr().err
    assert rivals.make_methods("stem", "stem", ["noisy"], also=["n2v2"]).keys() == {("noisy", "")}
    assert "N2V2 is not here (--careamics PYTHON, " in capsys.readouterr().out


def test_rivals_run_where_they_make_sense(benchmark: Any) -> None:
    rivals = benchmark("rivals")
    stem, tomo = (
        {name for name, _ in rivals.make_methods(domain, "stem") if name in rivals.RIVALS}
        for domain in ("stem", "tomo")
    )
    assert stem - tomo == {"bm3d_vst", "periodic"} & set(rivals.available())
    training = rivals.Training(python="python", steps=5)
    learnt = rivals.make_methods("general", "general", ["noisy"], training=training, also=["n2v2"])
    assert list(learnt) == [("noisy", ""), ("n2v2", "100 epochs, 5 steps, 120 s")]
    assert rivals.applies("bm3d_vst", "leaves, Poisson-Gaussian", 0, 3)
    assert not rivals.applies("bm3d_vst", "leaves, Gaussian 15", 0, 3)
    assert not rivals.applies("n2v2", "10", 3, 3)


def test_the_light_benchmark_asks_for_no_scale(benchmark: Any) -> None:
    light = benchmark("light")
    field = light.simulated(20, 0, 64)
    smooth = ndimage.gaussian_filter(field.noisy, 1.5)
    plain, scaled = field.judge(smooth), field.judge(3 * smooth + 100)
    assert scaled["psnr"] == pytest.approx(plain["psnr"]) and scaled["ssim"] == pytest.approx(plain["ssim"])
    assert plain["verdict"] in ("pass", "warn", "fail", "open") and scaled["verdict"] == "fail"
    assert plain["psnr"] > field.judge(field.noisy)["psnr"] + 3


def test_the_light_benchmark_reads_pairs_and_prints_what_it_has(
    benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    light = benchmark("light")
    rng = np.random.default_rng(0)
    mean = ndimage.gaussian_filter(rng.random((64, 64)), 3) * 1000
    (tmp_path / "light").mkdir()
    tifffile.imwrite(tmp_path / "light" / "w2s_1_1frame.tif", rng.poisson(0.5 * mean + 20).astype(np.float32))
    tifffile.imwrite(tmp_path / "light" / "w2s_1_400frames.tif", mean.astype(np.float32))
    field = light.real(tmp_path / "light", "w2s_1")
    assert np.polyfit(mean.ravel(), field.clean.ravel(), 1) == pytest.approx([0.5, 20], rel=0.2)
    monkeypatch.setattr(light, "SHOWN", ("noisy", "gaussian"))
    methods = light.make_methods([], None, [])
    fields = [("W2S 1", 0, 0, lambda: field)]
    for _ in range(2):
        light.measure(tmp_path / "lines.jsonl", methods, fields)
    lines = light.read_lines(tmp_path / "lines.jsonl")
    assert [line["method"] for line in lines] == ["noisy", "gaussian"]
    capsys.readouterr()
    light.print_tables(lines)
    printed = capsys.readouterr().out
    assert "| affine PSNR, dB, real fields | 1 |" in printed
    assert f"| best Gaussian | {lines[1]['figures']['psnr']:.2f} |" in printed


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
