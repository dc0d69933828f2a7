"""Several processes train one network: as one process with their batches together, and only the first one writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_images import TINY, data_for

import napari_hush as hush
from napari_hush.cli import main, train
from napari_hush.errors import InputError
from napari_hush.model import Model
from napari_hush.training.processes import Processes
from napari_hush.training.start import make_fabric

CHILD = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
import napari_hush as hush
from training_images import TINY, data_for

rank = os.environ["RANK"]
own = Path({folder!r}, rank)  # what each process writes
own.mkdir()
settings = TINY | {{"steps": 4, "validate_every": 2, "batch_size": 2, "device": "cpu"}}
events = []
data, part = data_for("supervised"), Path({folder!r}, "part.ckpt")
model = hush.train("supervised", data, settings, checkpoint=own / "whole.ckpt", progress=events.append)
steps = hush.fit("supervised", data, settings, checkpoint=part)
for event in steps:
    if event.step == 2:
        break
steps.close()
torch.distributed.barrier()
resumed = hush.train("supervised", data, settings, checkpoint=part, resume=True)
weights, again = (one.network.state_dict() for one in (model, resumed))
(own / "told.json").write_text(json.dumps({{
    "losses": [event.losses["loss"] for event in events],
    "weights": sum(float(value.double().abs().sum()) for value in weights.values()),
    "resumed": all(torch.equal(weights[name], again[name]) for name in weights),
}}))
"""


@pytest.mark.slow
def test_two_processes_train_as_one_with_both_batches_and_the_first_one_alone_writes(tmp_path):
    script = tmp_path / "child.py"
    script.write_text(CHILD.format(tests=str(Path(__file__).parent), folder=str(tmp_path)))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(torchrun, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / rank / "told.json").read_text()) for rank in "01")
    assert first == second
    assert first["resumed"]
    assert (tmp_path / "0" / "whole.ckpt").exists()
    assert [path.name for path in (tmp_path / "1").iterdir()] == ["told.json"]
    events = []
    settings = TINY | {"steps": 4, "validate_every": 2, "batch_size": 4, "device": "cpu"}
    hush.train("supervised", data_for("supervised"), settings, progress=events.append)
    assert first["losses"] == pytest.approx([event.losses["loss"] for event in events], rel=1e-5)


def test_the_environment_tells_how_many_there_are():
    assert Processes.of({}) == Processes()
    assert Processes.of(
        {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "RANK": "5", "SLURM_STEP_NUM_TASKS": "2"}
    ) == Processes(8, 4, 5)
    step = {"SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS": "8", "SLURM_PROCID": "6"}
    found = Processes.of(step | {"SLURM_NTASKS_PER_NODE": "4"})
    assert (found, found.nodes) == (Processes(8, 4, 6, by_slurm=True), 2)
    with pytest.raises(InputError, match=r"srun has started 8 processes.*--ntasks-per-node"):
        Processes.of(step)


def test_the_script_of_a_job_and_a_shell_in_one_are_alone(monkeypatch):
    """Though the job has several tasks: nobody else would come."""
    assert Processes.of({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}) == Processes()
    assert Processes.of({"SLURM_STEP_NUM_TASKS": "4", "SLURM_JOB_NAME": "interactive"}) == Processes()
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert make_fabric(hush.train_settings("supervised", {"device": "cpu"})).world_size == 1


def test_each_process_takes_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert Processes().accelerator("auto") == {"accelerator": "cuda", "devices": [0]}
    assert Processes().accelerator("cuda:3") == {"accelerator": "cuda", "devices": [3]}
    assert Processes(8, 4).accelerator("cuda") == {"accelerator": "cuda", "devices": 4}
    assert Processes(2, 2).accelerator("cpu") == {"accelerator": "cpu", "devices": 2}
    with pytest.raises(InputError, match=r"'cuda:1' is one GPU, and 8 processes train: .*device='cuda'"):
        Processes(8, 4).accelerator("cuda:1")
    with pytest.raises(InputError, match="'cuda:4' is not available"):
        Processes().accelerator("cuda:4")


@pytest.mark.parametrize("rank", ["0", "1"])
def test_the_first_process_of_a_command_alone_writes_the_model(rank, monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    model = Model.create("cnn", {})
    model.card.training["steps"] = 1
    monkeypatch.setattr(train.Train, "_train", lambda *_: model)
    noisy = tmp_path / "noisy.npy"
    noisy.write_bytes(b"")
    assert main(["train", "noise2void", str(noisy), "-o", str(tmp_path / "a.safetensors")]) == 0
    written = {path.name for path in tmp_path.iterdir()} - {"noisy.npy"}
    assert written == ({"a.safetensors", "a.toml"} if rank == "0" else set())


@pytest.mark.skipif(sys.platform == "win32", reason="jobs of SLURM run on Linux")
def test_processes_of_srun_find_each_other_by_its_variables(monkeypatch):
    for name, value in {"NTASKS": "2", "NTASKS_PER_NODE": "2", "STEP_NUM_TASKS": "2", "PROCID": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    for name, value in {"LOCALID": "1", "NODEID": "0", "JOB_ID": "12345", "NODELIST": "node[1-2]"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    for name in ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    (cluster,) = Processes.of(os.environ).plugins()
    assert (cluster.world_size(), cluster.global_rank(), cluster.local_rank()) == (2, 1, 1)
    assert cluster.creates_processes_externally
