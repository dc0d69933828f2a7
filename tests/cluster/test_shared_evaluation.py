"""A stack that workers or shards judge together: the figures of one process."""

import shutil
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest

import napari_hush as hush
from napari_hush import cli
from napari_hush.cluster import evaluate
from napari_hush.cluster.evaluate import _as_json, _from_json
from napari_hush.fidelity.stacks import evaluate_steps
from napari_hush.filters.smoothing import gaussian
from napari_hush.progress import drain

pytestmark = pytest.mark.slow

CLEAN = hush.sample("dented-lattice").clean[:96, :96].astype(np.float32)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A folder with frames of a series, drifting, a blur of them that spoils the second, and what one process finds."""
    folder = tmp_path_factory.mktemp("series")
    rng = np.random.default_rng(0)
    noisy = np.stack([np.roll(CLEAN, k, axis=1) + rng.normal(0, 0.1, CLEAN.shape) for k in range(3)])
    np.save(folder / "noisy.npy", noisy.astype(np.float32))
    denoised = np.stack([gaussian(frame, 3.0 if k == 1 else 1.0) for k, frame in enumerate(noisy)])
    np.save(folder / "denoised.npy", denoised.astype(np.float32))
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as out:
        patch.chdir(folder)
        code = cli.main(["evaluate", "noisy.npy", "denoised.npy", "--csv", "out.csv"])
    return folder, code, out.getvalue()


@pytest.fixture
def run(alone, tmp_path, monkeypatch, capsys):
    for name in ("noisy.npy", "denoised.npy"):
        shutil.copy2(alone[0] / name, tmp_path)
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        code = cli.main(["evaluate", "noisy.npy", "denoised.npy", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def test_workers_find_what_one_process_finds(alone, run, tmp_path, workers, monkeypatch):
    monkeypatch.setattr(evaluate, "PIECES", 1)
    code, out, err = run("--csv", "out.csv", "--cluster", workers)
    assert (code, out) == alone[1:], err
    assert (tmp_path / "out.csv").read_bytes() == (alone[0] / "out.csv").read_bytes()


def test_shards_find_what_one_process_finds_and_tell_who_is_missing(alone, run, tmp_path):
    code, out, _ = run("--csv", "out.csv", "--shard", "2/2")
    assert code == 0 and "shard 2/2 is done (2 planes); not done yet: 1/2" in out
    code, _, err = run("--csv", "out.csv", "--shard", "1/2", "--dark")
    assert code == 2 and "settings differ" in err
    code, out, err = run("--csv", "out.csv", "--shard", "1/2")
    assert (code, out) == alone[1:], err
    assert (tmp_path / "out.csv").read_bytes() == (alone[0] / "out.csv").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["denoised.npy", "noisy.npy", "out.csv"]


def test_a_shard_that_runs_again_judges_nothing_twice(run, tmp_path, monkeypatch):
    assert run("--csv", "out.csv", "--shard", "1/3")[0] == 0

    def again(*_, **__):
        raise AssertionError("judged again")

    monkeypatch.setattr("napari_hush.fidelity.stacks.judge_frame", again)
    code, out, _ = run("--csv", "out.csv", "--shard", "1/3")
    assert code == 0 and "not done yet: 2/3, 3/3" in out


def test_findings_come_back_from_their_file():
    for plane in drain(evaluate_steps(CLEAN + np.random.default_rng(0).normal(0, 0.1, CLEAN.shape), CLEAN)).planes:
        back = _from_json(_as_json(plane))
        assert repr(back) == repr(plane)  # NaN is no equal of itself


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--shard", "1/2"], "--shard: the shards meet at the output"),
        (["--shard", "1/2", "--csv", "out.csv", "--cluster", "local:1"], "--shard and --cluster: give one"),
        (["--cluster", "somewhere"], "--cluster somewhere: expected tcp://"),
    ],
)
def test_what_cannot_be_shared_is_told(run, arguments, words):
    code, _, err = run(*arguments)
    assert code == 2 and words in err
