"""The loop: nothing is lost, whatever ends it; the best weights are the model; errors say what to do."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image
from training_images import TINY, TINY_OF, clean_images, data_for, with_noise

import napari_hush as hush
from napari_hush.errors import InputError, ModelFileError
from napari_hush.leftovers import MACHINE
from napari_hush.training import checkpoint as checkpoints
from napari_hush.training import run as runs
from napari_hush.training.checkpoint import HEAD, read_checkpoint, write_checkpoint
from napari_hush.training.data.prefetch import Batches
from napari_hush.training.methods.supervised import Supervised
from napari_hush.training.one_device import precision_of

pytestmark = pytest.mark.slow  # networks are trained


def drained(steps):
    """All events, and the model."""
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as stop:
            return events, stop.value


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a if key != "seconds")
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def same_weights(a, b):
    return equal(a.network.state_dict(), b.network.state_dict())


@pytest.mark.parametrize(
    ("method", "precision"), [*((method, "float32") for method in TINY_OF), ("supervised", "bfloat16")]
)
def test_resumed_is_uninterrupted_bit_for_bit(method, precision, tmp_path):
    settings = TINY_OF[method] | {"steps": 5, "validate_every": 2, "workers": 1, "precision": precision}
    data = data_for(method)
    events, whole = drained(hush.fit(method, data, settings, checkpoint=tmp_path / "whole.ckpt"))
    assert [event.step for event in events] == [1, 2, 3, 4, 5]
    for left in (1, 2, 4) if method == "supervised" else (3,):
        path = tmp_path / f"{left}.ckpt"
        first = []
        for event in hush.fit(method, data, settings, checkpoint=path):
            first.append(event)
            if event.step == left:
                break
        rest, resumed = drained(hush.fit(method, data, settings, checkpoint=path, resume=True))
        assert [event.step for event in rest] == list(range(left + 1, 6))
        assert [event.losses for event in first + rest] == [event.losses for event in events]
        assert same_weights(whole, resumed)
        assert equal(read_checkpoint(tmp_path / "whole.ckpt"), read_checkpoint(path))


@pytest.mark.parametrize(
    ("tiles", "bf16", "wanted"), [(True, False, "bf16"), (False, True, "bf16"), (False, False, "32")]
)
def test_auto_takes_bfloat16_where_the_processor_computes_it(tiles, bf16, wanted, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    run = runs.TrainingRun(
        "supervised",
        data_for("supervised"),
        hush.train_settings("supervised", TINY | {"precision": "auto"}),
        None,
        None,
    )
    assert precision_of(run.fabric).precision.startswith(wanted)
    weight = run.method.networks["denoiser"].encoder[0].conv2.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) == (wanted == "bf16")


def test_workers_and_waiting_do_not_change_the_result(tmp_path):
    data = data_for("supervised")
    models = [hush.train("supervised", data, TINY | {"workers": n}) for n in (0, 1, 3)]
    assert same_weights(models[0], models[1])
    assert same_weights(models[0], models[2])


def test_the_random_numbers_of_others_stay_as_they_were():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    hush.train("supervised", data_for("supervised"), TINY | {"steps": 2})
    assert torch.equal(torch.rand(3), wanted)


def test_the_seed_decides():
    data = data_for("supervised")
    one, other = (hush.train("supervised", data, TINY | {"seed": seed}) for seed in (0, 1))
    assert not same_weights(one, other)


def test_the_model_has_the_weights_that_were_best_in_the_validation(monkeypatch):
    scores = iter([10.0, 30.0, 20.0, 25.0])
    kept = []

    def validate(method, network, patches):
        if len(kept) == 4:
            return {}, None  # of the test
        kept.append({name: value.clone() for name, value in network.state_dict().items()})
        return {"psnr": next(scores), "noisy_psnr": 1.0}, None

    monkeypatch.setattr(runs, "validate", validate)
    model = hush.train("supervised", data_for("supervised"), TINY | {"validate_every": 1, "learning_rate": 0.01})
    assert equal(model.network.state_dict(), kept[1])
    assert model.card.training["weights_of_step"] == 2
    assert model.card.metrics["validation"]["psnr"] == 30.0


@pytest.mark.filterwarnings("ignore:training stopped")
def test_training_stops_when_it_does_not_get_better(monkeypatch):
    monkeypatch.setattr(runs, "validate", lambda *_: ({"psnr": 5.0, "noisy_psnr": 1.0}, None))
    events = []
    settings = TINY | {"steps": 20, "validate_every": 1, "patience": 3}
    with pytest.warns(UserWarning, match="training stopped at step 4: no improvement in 3 validations"):
        model = hush.train("supervised", data_for("supervised"), settings, progress=events.append)
    assert len(events) == 4
    assert model.card.training["weights_of_step"] == 1
    assert "no improvement" in model.card.training["stopped"]


def test_the_moving_average_follows_the_weights():
    settings = runs.TrainingRun(
        "supervised", data_for("supervised"), hush.train_settings("supervised", TINY), None, None
    )
    mean = {name: value.clone() for name, value in settings.average.state_dict().items()}
    for number in range(3):
        settings.step(settings.batches.make(number))
        decay = min(0.999, (1 + number) / (10 + number))
        live = settings.method.networks["denoiser"].state_dict()
        mean = {name: decay * mean[name] + (1 - decay) * value for name, value in live.items()}
        settings.done += 1
        for name, value in settings.average.state_dict().items():
            assert torch.allclose(value, mean[name], atol=1e-6)
    zero = runs.TrainingRun(
        "supervised", data_for("supervised"), hush.train_settings("supervised", TINY | {"ema": 0}), None, None
    )
    zero.step(zero.batches.make(0))
    assert equal(zero.average.state_dict(), dict(zero.method.networks["denoiser"].state_dict()))


def test_epochs_are_counted_in_patches():
    events = []
    data = data_for("supervised")  # six images, of which four are for training: nine patches each
    hush.train("supervised", data, TINY | {"epochs": 2, "batch_size": 10}, progress=events.append)
    assert events[-1].step == events[-1].total == 2 * 4


def test_metrics_previews_and_card(tmp_path):
    events = []
    path = tmp_path / "mine.ckpt"
    model = hush.train("supervised", data_for("supervised"), TINY, checkpoint=path, progress=events.append)
    assert {"loss", "pixel", "psnr", "ssim", "noisy_psnr"} <= events[1].losses.keys()
    assert events[1].preview.ndim == 2
    assert events[0].preview is None
    assert "dB" in events[1].message
    pictures = sorted((tmp_path / "mine-previews").glob("*.png"))
    assert [picture.name for picture in pictures] == ["step-0000002.png", "step-0000004.png"]
    with Image.open(pictures[0]) as picture:
        assert picture.size[0] > 3 * 48
    card = model.card
    assert card.name == "mine"
    assert card.training["settings"]["seed"] == 0
    assert card.training["versions"].keys() == {"napari-hush", "torch", "numpy"}
    assert len(card.training["fingerprint"]) == 64
    assert card.metrics["test"].keys() >= {"psnr", "ssim", "noisy_psnr"}
    model.save(tmp_path / "mine.safetensors")
    assert hush.Model.load(tmp_path / "mine.safetensors").card == card
    assert json.dumps(card.training)
    denoised = hush.denoise(with_noise(clean_images(1))[0], model)
    assert denoised.shape == (48, 48)


@pytest.mark.parametrize("every", [0, 2])
def test_previews_can_be_rarer(tmp_path, every):
    settings = TINY | {"validate_every": 1, "steps": 3, "picture_every": every}
    hush.train("supervised", data_for("supervised"), settings, checkpoint=tmp_path / "a.ckpt")
    assert len(list(tmp_path.glob("a-previews/*.png"))) == (2 if every else 0)


@pytest.mark.parametrize("shares", [{"validation_share": 0}, {"validation_share": 0, "test_share": 0}])
def test_without_validation_the_last_weights_are_the_model(shares):
    model = hush.train("supervised", data_for("supervised"), TINY | shares)
    assert model.card.training["weights_of_step"] == 4


def broken_at(number, monkeypatch):
    step = Supervised.step

    def poisoned(self, batch, at):
        found = step(self, batch, at)
        if at + 1 == number:
            with torch.no_grad():
                for parameter in self.networks["denoiser"].parameters():
                    parameter.mul_(float("nan"))
            found["loss"] = found["loss"] * float("nan")
        return found

    monkeypatch.setattr(Supervised, "step", poisoned)


def test_nan_ends_the_training_with_the_last_good_state(tmp_path, monkeypatch):
    data, path = data_for("supervised"), tmp_path / "a.ckpt"
    good = hush.train("supervised", data, TINY | {"steps": 2, "schedule": "constant"})
    broken_at(4, monkeypatch)
    settings = TINY | {"steps": 8, "schedule": "constant"}
    with pytest.warns(
        UserWarning, match=r"training stopped at step 2: not finite at step 4: loss; .* lower learning_rate"
    ):
        model = hush.train("supervised", data, settings, checkpoint=path)
    assert same_weights(model, good)
    assert "not finite at step 4" in model.card.training["stopped"]
    assert read_checkpoint(path)["step"] == 2


def test_nan_after_a_resume_goes_back_to_the_checkpoint(tmp_path, monkeypatch):
    data, path = data_for("supervised"), tmp_path / "a.ckpt"
    for event in hush.fit("supervised", data, TINY | {"steps": 8, "validate_every": 100}, checkpoint=path):
        if event.step == 3:
            break
    broken_at(4, monkeypatch)
    with pytest.warns(UserWarning, match="training stopped at step 3"):
        hush.train("supervised", data, TINY | {"steps": 8, "validate_every": 100}, checkpoint=path, resume=True)


def test_nan_weights_without_nan_losses_are_found_by_the_validation(monkeypatch):
    step = Supervised.step

    def poisoned(self, batch, at):
        found = step(self, batch, at)
        if at == 3:
            with torch.no_grad():
                next(self.networks["denoiser"].parameters()).fill_(float("nan"))
        return found

    monkeypatch.setattr(Supervised, "step", poisoned)
    with pytest.warns(UserWarning, match="the weights"):
        model = hush.train("supervised", data_for("supervised"), TINY | {"steps": 8})
    assert model.card.training["steps"] == 2


def test_nan_at_once_is_an_error(tmp_path, monkeypatch):
    broken_at(1, monkeypatch)
    with pytest.raises(InputError, match="not finite at step 1: loss; lower learning_rate"):
        hush.train("supervised", data_for("supervised"), TINY, checkpoint=tmp_path / "a.ckpt")
    assert not (tmp_path / "a.ckpt").exists()


def test_a_full_disk_does_not_end_the_training(tmp_path, monkeypatch):
    data, path, events = data_for("supervised"), tmp_path / "a.ckpt", []
    write = checkpoints.atomic_write

    def full(target, content):
        if len(events) >= 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        write(target, content)

    monkeypatch.setattr(checkpoints, "atomic_write", full)
    with pytest.warns(UserWarning, match=r"the checkpoint cannot be written \(No space left on device\): make room"):
        model = hush.train("supervised", data, TINY | {"steps": 6}, checkpoint=path, progress=events.append)
    assert model.card.training["steps"] == 6
    assert "No space left" in events[3].message
    assert "No space left" not in events[1].message
    assert read_checkpoint(path)["step"] == 2
    assert not list(tmp_path.glob(".*.part"))


def test_a_full_disk_when_the_loop_is_left_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "a.ckpt"
    steps = hush.fit("supervised", data_for("supervised"), TINY, checkpoint=path)
    next(steps), next(steps), next(steps)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "atomic_write", full)
    steps.close()
    assert read_checkpoint(path)["step"] == 2


def test_leaving_the_loop_ends_the_threads():
    before = threading.active_count()
    for _ in hush.fit("supervised", data_for("supervised"), TINY | {"workers": 2}):
        break
    assert threading.active_count() == before


def test_what_killed_runs_left_is_removed(tmp_path):
    left, other = (tmp_path / f".{name}.ckpt.{MACHINE}-{2**22 + 1}-0123abcd.part" for name in "ab")
    left.write_bytes(b"half")
    other.write_bytes(b"of another run")
    hush.train("supervised", data_for("supervised"), TINY | {"steps": 1}, checkpoint=tmp_path / "a.ckpt")
    assert [path.name for path in tmp_path.glob(".*.part")] == [other.name]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "a.ckpt"
    hush.train("supervised", data_for("supervised"), TINY | {"steps": 2}, checkpoint=path)
    return path


def test_a_finished_training_goes_on_with_more_steps(checkpoint, tmp_path):
    path = tmp_path / "b.ckpt"
    path.write_bytes(checkpoint.read_bytes())
    events, model = drained(hush.fit("supervised", data_for("supervised"), TINY | {"steps": 2}, resume=path))
    assert events == []
    assert model.card.training["steps"] == 2
    events, _ = drained(hush.fit("supervised", data_for("supervised"), TINY | {"steps": 3}, resume=path))
    assert [event.step for event in events] == [3]


@pytest.mark.parametrize(("method", "data", "changes", "words"), [
    ("supervised", None, {"learning_rate": 0.1}, "learning_rate was 0.0003, is 0.1"),
    ("supervised", None, {"seed": 3}, "seed was 0, is 3"),
    ("tomogan", None, {}, "is a checkpoint of supervised, not of tomogan"),
    ("supervised", 5, {}, "the data are others"),
])  # fmt: skip
def test_a_checkpoint_of_something_else_is_refused(checkpoint, method, data, changes, words):
    source = data_for(method) if data is None else tuple(images[:data] for images in data_for(method))
    with pytest.raises(InputError, match=words):
        hush.train(method, source, TINY_OF[method] | changes, resume=checkpoint)


def test_a_checkpoint_of_more_processes_is_refused(checkpoint, tmp_path):
    state = read_checkpoint(checkpoint) | {"processes": 2}
    write_checkpoint(tmp_path / "two.ckpt", state)
    with pytest.raises(InputError, match="trained by 2 processes, not by 1"):
        hush.train("supervised", data_for("supervised"), TINY, resume=tmp_path / "two.ckpt")


class Harmful:
    def __reduce__(self):
        return os.system, ("echo this must not be run",)


def test_damaged_and_hostile_checkpoints_are_refused(checkpoint, tmp_path, capfd):
    content = checkpoint.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for name, damaged in {"cut": content[:-100], "flipped": flipped, "empty": b"", "text": b"hello" * 50,
                          "other": HEAD.replace(b"3", b"9") + content[len(HEAD):],
                          "older": HEAD.replace(b"3", b"1") + content[len(HEAD):]}.items():  # fmt: skip
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ModelFileError, match=r"damaged|empty|no checkpoint"):
            read_checkpoint(tmp_path / name)
    hostile = read_checkpoint(checkpoint)
    for state in (hostile | {"state": Harmful()}, [1, 2], {"method": "supervised"}):
        write_checkpoint(tmp_path / "hostile", state)
        with pytest.raises(ModelFileError, match="did not write"):
            read_checkpoint(tmp_path / "hostile")
    for state in (hostile | {"state": {}}, hostile | {"step": "x"}, {k: v for k, v in hostile.items() if k != "best"}):
        write_checkpoint(tmp_path / "hostile", state)
        with pytest.raises(ModelFileError, match=r"a damaged checkpoint|is not what it should be"):
            hush.train("supervised", data_for("supervised"), TINY, resume=tmp_path / "hostile")
    assert "must not be run" not in "".join(capfd.readouterr())
    with pytest.raises(ModelFileError, match="no such file"):
        hush.train("supervised", data_for("supervised"), TINY, resume=tmp_path / "none.ckpt")


def test_wrong_places_and_settings_are_refused_at_once(tmp_path):
    data = data_for("supervised")
    with pytest.raises(InputError, match="does not exist; create it"):
        hush.train("supervised", data, TINY, checkpoint=tmp_path / "none" / "a.ckpt")
    with pytest.raises(InputError, match="is a folder"):
        hush.train("supervised", data, TINY, checkpoint=tmp_path)
    with pytest.raises(InputError, match="give its file as checkpoint"):
        hush.train("supervised", data, TINY, resume=True)
    with pytest.raises(InputError, match="tomogan takes TomoGANSettings"):
        hush.train("tomogan", data, hush.train_settings("supervised"))
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="device 'cuda' is not available"):
            hush.train("supervised", data, TINY | {"device": "cuda"})


def test_batches_come_in_order_and_an_error_of_a_thread_arrives():
    class Numbered:
        def draw(self, number):
            if number == 9:
                raise InputError("patch 9 cannot be read")
            time.sleep(0.002 * (number % 3))
            return runs_patch(number)

    def runs_patch(number):
        from napari_hush.training.data.patches import Patch

        return Patch(np.full((1, 2, 2), number, np.float32), None)

    batches = Batches(Numbered(), lambda step: 2 * step, workers=3)
    found = []
    with pytest.raises(InputError, match="patch 9"), batches.open(1, 50) as stream:
        for batch in stream:
            found.append([int(image[0, 0, 0]) for image in batch.noisy])
    assert found == [[2, 3], [4, 5], [6, 7]]


CHILD = """
import sys
sys.path[:0] = {path!r}
import napari_hush as hush
from training_images import TINY, data_for
from pathlib import Path

def report(event):
    Path({folder!r}, "step").write_text(str(event.step))

settings = TINY | {{"steps": 100000, "validate_every": 100000}}
hush.train("supervised", data_for("supervised"), settings, checkpoint={folder!r} + "/a.ckpt", progress=report)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for single processes")
def test_ctrl_c_finishes_the_step_and_writes_the_checkpoint(tmp_path):
    here = [os.path.dirname(__file__)]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(path=here, folder=str(tmp_path))], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 300
    while not (tmp_path / "step").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=300)
    assert "KeyboardInterrupt" in errors
    done = read_checkpoint(tmp_path / "a.ckpt")["step"]
    assert done >= int((tmp_path / "step").read_text())
    steps = hush.fit("supervised", data_for("supervised"), TINY | {"steps": 100000, "validate_every": 100000})
    losses = [next(steps).losses["loss"] for _ in range(done)]
    steps.close()
    assert read_checkpoint(tmp_path / "a.ckpt")["sums"]["loss"] == sum(losses)  # as without an interruption


def test_the_bar_is_shown_once(capsys):
    hush.train("supervised", data_for("supervised"), TINY, progress=True)
    assert "supervised" in capsys.readouterr().err
