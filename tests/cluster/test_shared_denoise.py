"""A denoising that workers or shards share: the bits of one process, and each process loses no more than its own."""

import json
import threading

import numpy as np
import pytest
from scipy import ndimage

import napari_hush as hush
from napari_hush import cli
from napari_hush.cluster import denoise as cluster_denoise
from napari_hush.cluster import worker
from napari_hush.cluster.shards import Shard
from napari_hush.inference.owners import FolderLock
from napari_hush.inference.tiles.runner import TileRunner
from napari_hush.inference.units import Part
from napari_hush.io import read_image
from napari_hush.io.history import read_history
from napari_hush.leftovers import MACHINE
from napari_hush.model import Model
from napari_hush.normalize import NormalizationRule

pytestmark = pytest.mark.slow

OPTIONS = ["--engine", "torch", "--device", "cpu", "--frames", "False", "--no-verdict", "--tile", "32"]


@pytest.fixture
def run(place, capsys):
    def denoise(*arguments, model="model.safetensors", guard="False"):
        code = cli.main(["denoise", *map(str, arguments), "--model", str(model), *OPTIONS, "--guard", guard])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return denoise


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(cluster_denoise, "LEAST", 1)


def pixels(path):
    return read_image(path).data[...]


def same(one, other, *but):
    """Whether two outputs have the same pixels, levels and histories."""
    histories = [read_history(path) for path in (one, other)]
    for history in histories:
        for name in ("seconds", "written", *but):
            history.pop(name, None)
    chunks = [
        {p.relative_to(path): p.read_bytes() for p in path.rglob("c/**/*") if p.is_file()} for path in (one, other)
    ]
    return chunks[0] == chunks[1] and histories[0] == histories[1]


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name not in ("stack.npy", "model.safetensors"))


@pytest.mark.usefixtures("small_pieces")
def test_workers_give_the_bits_of_one_process(run, workers, place):
    assert run("stack.npy", "-o", "one.zarr", guard="auto")[0] == 0
    code, _, err = run("stack.npy", "-o", "two.zarr", "--cluster", workers, guard="auto")
    assert code == 0, err
    assert read_history(place / "two.zarr")["workers"] == 2
    assert same(place / "one.zarr", place / "two.zarr", "workers")
    assert names(place) == ["one.zarr", "two.zarr"]


@pytest.mark.parametrize(("count", "guard"), [(1, "auto"), (3, "False")])
def test_shards_give_the_bits_of_one_process(run, place, count, guard):
    assert run("stack.npy", "-o", "one.zarr", guard=guard)[0] == 0
    for number in range(count, 0, -1):
        code, out, err = run("stack.npy", "-o", "two.zarr", "--shard", f"{number}/{count}", guard=guard)
        assert code == 0, err
        if number > 1:
            left = ", ".join(f"{one}/3" for one in range(1, number))
            assert f"shard {number}/{count} is done" in out and out.splitlines()[0].endswith(f"not done yet: {left}")
            assert "--tile 32" in out and out.rstrip().endswith("-o two.zarr --shard 1/3")
    assert read_history(place / "two.zarr")["shards"] == count
    assert same(place / "one.zarr", place / "two.zarr", "shards")
    assert names(place) == ["one.zarr", "two.zarr"]
    code, out, _ = run("stack.npy", "-o", "two.zarr", "--shard", f"1/{count}", guard=guard)
    assert code == 0 and "1 of 1 results are there already" in out


@pytest.mark.parametrize("way", ["cluster", "shard"])
def test_chunks_of_several_tiles_are_stored_by_one(place, workers, monkeypatch, run, way):
    monkeypatch.setattr(cluster_denoise, "LEAST", 1)
    np.save("lattice.npy", ndimage.zoom(hush.sample("dented-lattice").noisy[:150, :150], 1.6, order=1))
    stored, store = [], Part.store
    monkeypatch.setattr(Part, "store", lambda self, target: (stored.append(self.box), store(self, target)))
    arguments = ("lattice.npy", "-o")
    assert run(*arguments, "one.zarr", model="stem")[0] == 0
    if way == "cluster":
        assert run(*arguments, "two.zarr", "--cluster", workers, model="stem")[0] == 0
    else:
        for number in (1, 2):
            assert run(*arguments, "two.zarr", "--shard", f"{number}/2", model="stem")[0] == 0
    assert len(stored) > 1, "its tiles do not lie on the chunks"
    assert same(place / "one.zarr", place / "two.zarr", "workers", "shards")


@pytest.mark.parametrize("way", ["cluster", "shard"])
def test_planes_of_a_network_in_pieces_are_shared_whole(place, workers, run, way):
    rule = NormalizationRule(low=0, high=100, target=(-1.0, 1.0))
    Model.create("cyclegan_resnet", {"width": 4, "blocks": 1}, normalization=rule).save("staged.safetensors")
    arguments = ("stack.npy", "-o")
    assert run(*arguments, "one.zarr", model="staged.safetensors")[0] == 0
    if way == "cluster":
        assert run(*arguments, "two.zarr", "--cluster", workers, model="staged.safetensors")[0] == 0
    else:
        for number in (2, 1):
            assert run(*arguments, "two.zarr", "--shard", f"{number}/2", model="staged.safetensors")[0] == 0
    assert same(place / "one.zarr", place / "two.zarr", "workers", "shards")


class Stopped(Exception):
    """Ends a run in the middle."""


@pytest.fixture
def stop_after(monkeypatch):
    """End the next run after so many batches of tiles; the runs after it count for themselves."""

    def set_up(count):
        left, compute = [count], TileRunner._begin

        def counted(self, *arguments):
            left[0] -= 1
            if left[0] == -1:
                raise Stopped
            return compute(self, *arguments)

        monkeypatch.setattr(TileRunner, "_begin", counted)
        return left

    return set_up


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize(
    ("first", "second"), [("cluster", "alone"), ("alone", "cluster"), ("shard", "alone"), ("alone", "shard")]
)
def test_each_goes_on_with_what_the_other_has_done(run, place, workers, stop_after, monkeypatch, first, second):
    monkeypatch.setattr("napari_hush.cluster.tasks.RETRIES", 0)
    how = {"cluster": ["--cluster", workers], "alone": [], "shard": ["--shard", "1/1"]}
    assert run("stack.npy", "-o", "one.zarr")[0] == 0
    left = stop_after(17)
    with pytest.raises(Stopped):
        run("stack.npy", "-o", "two.zarr", *how[first])
    assert names(place) == [".two.zarr.part", "one.zarr"]
    if second != "shard":
        code, _, err = run("stack.npy", "-o", "two.zarr", *how[second])
        assert code == 2 and "unfinished run" in err
    left[0] = 10**6
    code, _, err = run("stack.npy", "-o", "two.zarr", "--resume", *how[second])
    assert code == 0, err
    assert 10**6 - left[0] <= 40 - 12, "what was done was computed again"
    assert np.array_equal(pixels("one.zarr"), pixels("two.zarr"))
    assert names(place) == ["one.zarr", "two.zarr"]


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("second", ["cluster", "shard"])
def test_what_was_done_in_smaller_tiles_for_lack_of_memory_is_kept(run, place, workers, monkeypatch, second):
    calls, compute = iter(range(10**6)), TileRunner._begin

    def short(self, *arguments):
        number = next(calls)
        if number == 5:
            raise MemoryError("simulated")
        if number == 14:
            raise Stopped
        return compute(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(TileRunner, "_begin", short)
        with pytest.raises(Stopped):
            run("stack.npy", "-o", "out.zarr")
    how = ["--cluster", workers] if second == "cluster" else ["--shard", "1/1"]
    code, _, err = run("stack.npy", "-o", "out.zarr", "--resume", *how)
    assert code == 0, err
    assert run("stack.npy", "-o", "one.zarr")[0] == 0
    assert np.allclose(pixels("out.zarr"), pixels("one.zarr"), atol=1e-3)


def test_a_shard_that_failed_is_run_again_and_skips_what_is_done(run, place, stop_after):
    left = stop_after(30)
    assert run("stack.npy", "-o", "out.zarr", "--shard", "1/2")[0] == 0
    with pytest.raises(Stopped):
        run("stack.npy", "-o", "out.zarr", "--shard", "2/2")
    code, out, _ = run("stack.npy", "-o", "out.zarr", "--shard", "1/2")
    assert code == 0 and "not done yet: 2/2" in out
    before = left[0]
    assert run("stack.npy", "-o", "out.zarr", "--shard", "2/2")[0] == 0
    assert before - left[0] == 10, "of its 20 tiles ten were done"
    assert names(place) == ["out.zarr"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--shard", "2/3"], "shards 2 -> 3"),
        (["--shard", "2/2", "--normalize", "plane"], "normalize stack -> plane"),
    ],
)
def test_shards_of_different_runs_are_refused(run, place, change, words):
    run("stack.npy", "-o", "out.zarr", "--shard", "1/2")
    code, _, err = run("stack.npy", "-o", "out.zarr", *change)
    assert code == 2 and words in err
    assert run("stack.npy", "-o", "out.zarr", "--shard", "2/2")[0] == 0


def test_the_same_shard_twice_and_a_run_beside_shards_are_refused(run, place):
    run("stack.npy", "-o", "out.zarr", "--shard", "1/2")
    ledger = place / ".out.zarr.part" / "shard-1-of-2.jsonl"
    with ledger.open("a") as file:
        file.write(json.dumps({"owner": {"machine": "0" * 8, "process": 7}}) + "\n")
    code, _, err = run("stack.npy", "-o", "out.zarr", "--shard", "1/2")
    assert code == 2 and "shard 1/2 is being done by process 7 of another machine already" in err
    code, _, err = run("stack.npy", "-o", "out.zarr", "--resume")
    assert code == 2 and "shard-1-of-2 of this output is still being done" in err


def test_shards_measure_once(run, place, monkeypatch):
    calls = []
    fit = NormalizationRule.fit_steps

    def counted(self, *arguments, **options):
        calls.append(1)
        return fit(self, *arguments, **options)

    monkeypatch.setattr(NormalizationRule, "fit_steps", counted)
    for number in (1, 2, 3):
        assert run("stack.npy", "-o", "out.zarr", "--shard", f"{number}/3")[0] == 0
    assert len(calls) == 1


def test_several_files_are_shared_file_by_file(run, place, workers):
    for number in range(3):
        np.save(f"{number}.npy", np.load("stack.npy")[0] + number)
    inputs = [f"{number}.npy" for number in range(3)]
    assert run(*inputs, "-o", "whole")[0] == 0
    code, out, err = run(*inputs, "-o", "cluster", "--cluster", workers)
    assert code == 0, err
    assert out.count("unnamed on cpu with torch") == 3
    for number in (1, 2):
        code, out, _ = run(*inputs, "-o", "shards", "--shard", f"{number}/2")
        assert code == 0 and f"shard {number}/2: {number} of 3 inputs" in out
    for folder in ("cluster", "shards"):
        assert names(place / folder) == names(place / "whole")
        assert all(np.array_equal(pixels(f"{folder}/{n}"), pixels(f"whole/{n}")) for n in names(place / "whole"))


def test_a_file_that_fails_on_a_worker_is_told(run, place, workers):
    np.save("good.npy", np.load("stack.npy")[0])
    (place / "bad.npy").write_bytes(b"\x93NUMPY")
    code, _, err = run("good.npy", "bad.npy", "-o", "out", "--cluster", workers)
    assert code == 2 and "bad.npy" in err and "1 of 2 inputs were not denoised" in err
    assert names(place / "out") == ["good_denoised.tif"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cluster", "local:2", "--shard", "1/2"], "--shard and --cluster: give one"),
        (["--shard", "1/2", "--no-resume"], "--shard and --no-resume"),
        (["--shard", "3/2"], "--shard 3/2: expected I/N"),
        (["--shard", "one"], "expected I/N"),
        (["--shard", "1/2", "-o", "out.tif"], "out.tif: --shard fills one output tile by tile"),
        (["--cluster", "local:2", "-o", "out.tif"], "--cluster fills one output tile by tile"),
    ],
)
def test_what_cannot_be_shared_is_told(run, place, arguments, words):
    code, _, err = run("stack.npy", *arguments)
    assert code == 2 and words in err
    assert names(place) == []


@pytest.mark.parametrize("way", ["cluster", "shard"])
def test_frames_that_look_together_are_refused(place, workers, capsys, way):
    clean = hush.sample("dented-lattice").clean[:96, :96]
    np.save("series.npy", np.stack([clean + np.random.default_rng(k).normal(0, 0.05, clean.shape) for k in range(4)]))
    how = ["--cluster", workers] if way == "cluster" else ["--shard", "1/2"]
    code = cli.main(["denoise", "series.npy", "-o", "out.zarr", "--series", *OPTIONS[:4], "--frames", "4", *how])
    assert code == 2 and "look together and go one after the other" in capsys.readouterr().err
    assert not (place / "out.zarr").exists()


def test_a_worker_that_sees_another_file_or_model_is_told(run, place, workers, monkeypatch):
    monkeypatch.setattr(worker, "fingerprint", lambda _: {"name": "elsewhere"})
    code, _, err = run("stack.npy", "-o", "out.zarr", "--cluster", workers)
    assert code == 2 and "a worker finds another file" in err
    monkeypatch.undo()


def test_a_worker_of_another_version_is_told(run, place, workers, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr(worker, "version", lambda _: "0.0.1")
    code, _, err = run("stack.npy", "-o", "out.zarr", "--cluster", workers)
    assert code == 2 and "a worker has napari-hush 0.0.1, expected" in err


@pytest.mark.parametrize(
    ("owner", "free"), [(None, True), ({"machine": MACHINE, "process": 2**22 + 1}, True), ("me", False)]
)
def test_a_lock_of_a_dead_process_is_taken_over_once(tmp_path, owner, free):
    lock = FolderLock(tmp_path)
    if owner == "me":
        other = FolderLock(tmp_path)
        next(other.wait(), None)
    elif owner is not None:
        (tmp_path / "lock-0").write_text(json.dumps(owner))
    assert (next(lock.wait(), "got") == "got") == free
    assert len(list(tmp_path.iterdir())) == 1
    lock.release()
    assert (not list(tmp_path.iterdir())) == free


def test_one_of_many_holds_a_lock(tmp_path):
    inside, most, count = [0], [0], 8
    (tmp_path / "lock-3").write_text(json.dumps({"machine": MACHINE, "process": 2**22 + 1}))

    def work():
        for _ in range(5):
            with FolderLock(tmp_path).held():
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1 and not list(tmp_path.iterdir())


def test_shares_are_neighbours_and_cover_all():
    things = list(range(11))
    shares = [Shard(number, 4).share(things) for number in range(1, 5)]
    assert [one for share in shares for one in share] == things and {len(share) for share in shares} == {2, 3}
