"""A run that was stopped goes on: the same bits, nothing measured twice, and never with something else."""

import json
import shutil

import numpy as np
import pytest
import torch
import zarr

import napari_hush as hush
from napari_hush.errors import InputError
from napari_hush.inference import measure, planning
from napari_hush.inference.denoise import denoise_steps, run_steps
from napari_hush.inference.engines.torch_engine import TorchEngine
from napari_hush.inference.ledger import Restart
from napari_hush.inference.settings import DenoiseSettings
from napari_hush.inference.tiles.runner import TileRunner
from napari_hush.io.fingerprint import Watched
from napari_hush.io.formats.zarr_write import zarr_writer
from napari_hush.model import Model
from napari_hush.normalize import NormalizationRule

rng = np.random.default_rng(0)
IMAGE = rng.normal(100, 20, (2, 96, 80)).astype(np.float32)
CPU = {"device": "cpu", "engine": "torch", "frames": False, "guard": False}
SETTINGS = DenoiseSettings(tile=16, **CPU)


def made(architecture="cnn", hyperparameters=None, seed=0):
    torch.manual_seed(seed)
    model = Model.create(architecture, {"widths": [4]} if hyperparameters is None else hyperparameters)
    for parameter in model.network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture(scope="module")
def model():
    return made()


class SmallMemory(TorchEngine):
    """After some calls it has no room for a window of 32 px any more."""

    calls = 3

    def __call__(self, *inputs):
        self.calls -= 1
        if self.calls < 0 and inputs[0].size > 32**2:
            raise MemoryError("simulated")
        return super().__call__(*inputs)


def part_of(path):
    return path.with_name(f".{path.name}.part")


def go(path, model, *, stop=None, image=IMAGE, settings=SETTINGS, resume=True, **options):
    """Run, and leave it after so many events that say that something is done."""
    restart = Restart(path, resume=resume, keep=True)
    steps = denoise_steps(image, model, settings, out=path, restart=restart, **options)
    if stop is None:
        return run_steps(steps)
    for event in steps:
        if event.step >= stop:
            break
    steps.close()
    return None


@pytest.mark.parametrize("stops", [[1], [3, 3, 3], [29], [2, 40]])
def test_stopped_and_gone_on_is_the_same_bit_for_bit(model, tmp_path, stops):
    whole = go(tmp_path / "whole.zarr", model)
    path = tmp_path / "out.zarr"
    for stop in stops:
        go(path, model, stop=stop)
        assert part_of(path).is_dir() and not path.exists()
    done = go(path, model)
    assert np.array_equal(done.image[:], whole.image[:])
    assert {k: v for k, v in done.provenance.items() if k != "seconds"} == {
        k: v for k, v in whole.provenance.items() if k != "seconds"
    }
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.zarr", "whole.zarr"]


def test_what_is_done_is_not_computed_again(model, tmp_path):
    path, calls = tmp_path / "out.zarr", []

    class Counting(TorchEngine):
        def __call__(self, *inputs):
            calls.append(len(inputs[0]))
            return super().__call__(*inputs)

    go(tmp_path / "whole.zarr", model, engine=Counting(model.network))
    count = len(calls)
    calls.clear()
    go(path, model, stop=count // 2, engine=Counting(model.network))
    go(path, model, engine=Counting(model.network))
    assert len(calls) == count


@pytest.mark.parametrize("stop", [7, 9, 14, 30])
def test_tiles_that_were_halved_for_lack_of_memory_are_cut_alike(model, tmp_path, stop):
    settings = DenoiseSettings(tile=32, batch_size=2, **CPU)
    whole = go(tmp_path / "whole.zarr", model, settings=settings, engine=SmallMemory(model.network))
    assert whole.provenance["tile"] == [16, 16]
    path = tmp_path / "out.zarr"
    go(path, model, stop=stop, settings=settings, engine=SmallMemory(model.network))
    lines = [json.loads(line) for line in (part_of(path) / "ledger.jsonl").read_text().splitlines()]
    assert any(line.get("sides") == [[32, 32], [16, 16]] for line in lines)
    done = go(path, model, settings=settings)
    assert np.array_equal(done.image[:], whole.image[:])


def test_planes_of_a_network_in_pieces_are_kept(tmp_path):
    rule = NormalizationRule(low=0, high=100, target=(-1.0, 1.0))
    staged = Model.create("cyclegan_resnet", {"width": 4, "blocks": 1}, normalization=rule)
    settings = DenoiseSettings(tile=32, **CPU)
    whole = go(tmp_path / "whole.zarr", staged, settings=settings)
    tiles = [event.total for event in denoise_steps(IMAGE, staged, settings)][-1]
    go(tmp_path / "out.zarr", staged, settings=settings, stop=tiles // 2 + 2)
    assert np.array_equal(go(tmp_path / "out.zarr", staged, settings=settings).image[:], whole.image[:])


def test_nothing_is_measured_twice(model, tmp_path, monkeypatch):
    path = tmp_path / "out.zarr"
    image, settings = np.stack([hush.sample("dented-lattice").noisy[:64, :64]] * 2), DenoiseSettings(tile=32, **CPU)
    whole = go(tmp_path / "whole.zarr", "auto", image=image, settings=settings)
    go(path, "auto", image=image, settings=settings, stop=1)

    def again(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(NormalizationRule, "fit_steps", again)
    monkeypatch.setattr(measure, "measure_spacing", again)
    monkeypatch.setattr(planning, "fitting_model", again)
    done = go(path, "auto", image=image, settings=settings)
    for name in ("model", "chosen_because", "spacing", "normalization"):
        assert done.provenance[name] == whole.provenance[name]


def changed(what, path, model):
    if what == "input":
        return go(path, model, image=IMAGE + 1)
    if what == "weights":
        return go(path, made(seed=1))
    if what == "settings":
        return go(path, model, settings=DenoiseSettings(tile=16, **CPU | {"guard": "auto"}))
    other = hush.load_model("general")
    return go(path, other)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("input", r"the input's values [0-9a-f]{12}\.\.\. -> [0-9a-f]{12}"),
        ("weights", r"its weights [0-9a-f]{12}\.\.\. -> [0-9a-f]{12}"),
        ("settings", "guard False -> auto"),
        ("model", "model unnamed -> general"),
    ],
)
def test_another_run_is_refused_with_what_changed(model, tmp_path, what, words):
    path = tmp_path / "out.zarr"
    go(path, model, stop=2)
    with pytest.raises(InputError, match=words):
        changed(what, path, model)
    whole = go(tmp_path / "whole.zarr", model)
    assert np.array_equal(go(path, model).image[:], whole.image[:])  # the refused one has spoilt nothing


def test_another_version_is_refused(model, tmp_path, monkeypatch):
    path = tmp_path / "out.zarr"
    go(path, model, stop=2)
    monkeypatch.setattr("napari_hush.inference.ledger.version", lambda _: "9.9")
    with pytest.raises(InputError, match=r"version \S+ -> 9.9"):
        go(path, model)


def test_an_unfinished_run_needs_a_word(model, tmp_path):
    path = tmp_path / "out.zarr"
    go(path, model, stop=2)
    with pytest.raises(InputError, match=r"unfinished run.*resume=True.*resume=False"):
        go(path, model, resume=None)
    with pytest.raises(InputError, match=r"unfinished run.*resume=True"):
        hush.denoise(IMAGE, model, out=path, tile=16, **CPU)
    hush.denoise(IMAGE, model, out=path, tile=16, resume=False, **CPU)
    assert [p.name for p in tmp_path.iterdir()] == ["out.zarr"]


def test_python_keeps_what_is_done_only_if_asked(model, tmp_path):
    def leave(event):
        if event.step == 3:
            raise KeyboardInterrupt

    for resume, names in ((None, []), (False, []), (True, [".out.zarr.part"])):
        with pytest.raises(KeyboardInterrupt):
            hush.denoise(IMAGE, model, out=tmp_path / "out.zarr", resume=resume, progress=leave, tile=16, **CPU)
        assert [p.name for p in tmp_path.iterdir()] == names
    with pytest.raises(InputError, match="resume= needs out="):
        hush.denoise(IMAGE, model, resume=True)


@pytest.mark.parametrize("done", [1, 3])
def test_a_run_that_was_stopped_at_its_smaller_levels_goes_on_there(model, tmp_path, monkeypatch, done):
    monkeypatch.setattr("napari_hush.io.formats.pyramid.SMALLEST", 20)
    go(tmp_path / "whole.zarr", model)
    path, calls = tmp_path / "out.zarr", []

    def leave(data):
        calls.append(data.shape)
        if len(calls) > done:
            raise KeyboardInterrupt
        return np.zeros_like(data[..., ::2, ::2])  # is made anew by the run that goes on

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("napari_hush.io.formats.pyramid.halved", leave)
        go(path, model)
    assert (part_of(path) / "array.zarr" / "1").is_dir() and not path.exists()
    monkeypatch.setattr("napari_hush.inference.tiles.runner.TileRunner.run", _no_tiles(TileRunner.run))
    go(path, model)
    whole, again = (zarr.open_group(one, mode="r") for one in (tmp_path / "whole.zarr", path))
    assert sorted(again) == sorted(whole) and "2" in again
    assert all(np.array_equal(again[level][:], whole[level][:]) for level in whole)
    assert again.attrs["ome"] == whole.attrs["ome"] and len(again.attrs["ome"]["multiscales"][0]["datasets"]) > 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.zarr", "whole.zarr"]


def _no_tiles(run):
    def checked(self, task, before=()):
        for event in run(self, task, before):
            assert not event[0], "a tile was computed again"
            yield event

    return checked


def test_half_a_line_is_cut_off_and_half_a_chunk_removed(model, tmp_path):
    path = tmp_path / "out.zarr"
    go(path, model, stop=4)
    ledger = part_of(path) / "ledger.jsonl"
    lines = [line for line in ledger.read_text().splitlines(keepends=True) if not line.startswith('{"owner": null')]
    ledger.write_text("".join(lines)[:-20])
    half = part_of(path) / "array.zarr" / "0" / "c" / "0" / "0" / "0.abc.partial"
    half.parent.mkdir(parents=True, exist_ok=True)
    half.write_bytes(b"half")
    assert np.array_equal(go(path, model).image[:], go(tmp_path / "whole.zarr", model).image[:])
    assert not list(tmp_path.rglob("*.partial"))


def test_two_runs_to_one_output_are_refused(model, tmp_path):
    path = tmp_path / "out.zarr"
    steps = denoise_steps(IMAGE, model, SETTINGS, out=path, restart=Restart(path, keep=True))
    while next(steps).step < 2:
        pass
    for resume in (None, True, False):
        with pytest.raises(InputError, match="is writing this output"):
            go(path, model, resume=resume)
    run_steps(steps)
    assert [p.name for p in tmp_path.iterdir()] == ["out.zarr"]


@pytest.mark.parametrize(("owner", "refused"), [("00000000", True), (None, False)])
def test_a_lock_of_another_machine_counts_while_it_is_fresh(model, tmp_path, owner, refused):
    path = tmp_path / "out.zarr"
    go(path, model, stop=4)
    with (part_of(path) / "ledger.jsonl").open("a") as file:
        file.write(json.dumps({"owner": owner and {"machine": owner, "process": 1}}) + "\n")
    if refused:
        with pytest.raises(InputError, match="of another machine is writing"):
            go(path, model)
    else:
        go(path, model)


@pytest.mark.parametrize("what", ["removed", "written", "replaced"])
def test_an_input_that_changes_during_the_run_gives_no_result(model, tmp_path, what):
    source, path = tmp_path / "in.npy", tmp_path / "out.zarr"
    np.save(source, IMAGE)
    steps = denoise_steps(np.load(source, mmap_mode="r"), model, SETTINGS, out=path)
    while next(steps).step < 2:
        pass
    if what == "removed":
        source.unlink()
    elif what == "written":
        np.load(source, mmap_mode="r+")[-1, -1, -1] += 1
    else:
        source.rename(tmp_path / "old.npy")
        np.save(source, IMAGE[:1])
    words = {"removed": "was removed", "written": "last bytes", "replaced": "has become shorter"}[what]
    with pytest.raises(InputError, match=words):
        run_steps(steps)
    assert not path.exists() and not list(tmp_path.glob(".*"))


def test_a_zarr_that_changes_during_the_run_gives_no_result(model, tmp_path):
    source = zarr.create_array(tmp_path / "in.zarr", shape=IMAGE.shape, chunks=(1, 48, 40), dtype="float32")
    source[:] = IMAGE
    steps = denoise_steps(source, model, SETTINGS, out=tmp_path / "out.zarr")
    while next(steps).step < 2:
        pass
    source[0, :48, :40] = 1
    with pytest.raises(InputError, match="changed during the run"):
        run_steps(steps)
    assert [p.name for p in tmp_path.iterdir()] == ["in.zarr"]


def test_a_file_that_was_read_before_is_watched(model, tmp_path):
    source = tmp_path / "in.npy"
    np.save(source, IMAGE)
    watched = Watched.of(source)
    source.unlink()
    with pytest.raises(InputError, match="was removed"):
        run_steps(denoise_steps(IMAGE, model, SETTINGS, watched=watched))


def test_what_takes_the_name_during_the_run_stays(tmp_path):
    path = tmp_path / "out.zarr"
    with pytest.raises(InputError, match=r"the result is in .*out-1\.zarr"):
        with zarr_writer(path, shape=(4, 4), dtype="uint8") as array:
            array[...] = 7
            path.mkdir()
            (path / "mine.txt").write_text("mine")
    assert (path / "mine.txt").read_text() == "mine"
    assert (zarr.open_group(tmp_path / "out-1.zarr")["0"][...] == 7).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out-1.zarr", "out.zarr"]


@pytest.mark.parametrize("resume", [None, True])
def test_a_folder_removed_during_the_run_is_an_error(model, tmp_path, resume):
    path = tmp_path / "results" / "out.zarr"
    path.parent.mkdir()
    restart = Restart(path, resume=resume, keep=bool(resume))
    steps = denoise_steps(IMAGE, model, SETTINGS, out=path, restart=restart)
    while next(steps).step < 4:
        pass
    shutil.rmtree(path.parent)
    with pytest.raises(InputError, match="was removed while"):
        run_steps(steps)
    assert not path.exists() and not list(tmp_path.rglob(".*"))
