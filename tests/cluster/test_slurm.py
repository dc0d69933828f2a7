"""Settings of SLURM jobs: what is wrong in the file is told, and the script of a job holds what it says."""

import os
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_hush.cluster.connect import check_place, connected, local_cluster, slurm_cluster
from napari_hush.cluster.own_gpu import OwnGpu, own_gpu
from napari_hush.cluster.slurm import slurm_settings
from napari_hush.errors import InputError

FILE = """
queue = "gpu"
account = "em-group"
cores = 16
memory = "64GB"
walltime = "1-04:00:00"
gpus = 4
jobs = 3
directives = ["--constraint=a100", "--exclusive"]
environment = ["module load cuda", "source env/bin/activate"]
"""


def test_the_job_script_says_what_the_file_says(tmp_path, monkeypatch):
    jobqueue = pytest.importorskip("dask_jobqueue")
    (tmp_path / "slurm.toml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr(jobqueue.SLURMCluster, "adapt", lambda _, **numbers: asked.append(numbers))
    with slurm_cluster(tmp_path / "slurm.toml") as cluster:
        script = cluster.job_script()
    assert asked == [{"minimum_jobs": 3, "maximum_jobs": 3}]
    for line in ("-p gpu", "-A em-group", "--cpus-per-task=16", "--mem=60G", "-t 1-04:00:00", "--gres=gpu:4"):
        assert f"#SBATCH {line}" in script
    assert "#SBATCH --constraint=a100" in script and "#SBATCH --exclusive" in script
    assert script.index("module load cuda") < script.index("source env/bin/activate") < script.index("distributed.cli")
    assert "--nworkers 4" in script and "--nthreads 4" in script  # one worker for each GPU


def test_the_file_in_the_manual_is_one():
    page = (Path(__file__).resolve().parents[2] / "docs" / "cluster.md").read_text("utf-8")
    settings = slurm_settings(tomllib.loads(page.split("```toml\n")[1].split("```")[0]))
    assert settings.jobs == 8 and "--constraint=a100" in settings.options["job_extra_directives"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"partition": "gpu"}, "unknown name 'partition'; known are .*queue, account"),
        ({"cores": "16"}, "cores must be a whole number from 1"),
        ({"cores": True}, "cores must be a whole number"),
        ({"gpus": 32}, "each GPU has a worker, which needs a core"),
        ({"memory": "much"}, "memory must be a number and a unit, such as '32GB', got 'much'"),
        ({"memory": 64}, "memory must be text"),
        ({"walltime": "soon"}, "walltime must be hours"),
        ({"directives": "--exclusive"}, "directives must be a list of texts"),
        ({"environment": ["a\nb"]}, "environment must have no line breaks"),
        ({"account": "a\n#SBATCH -p b"}, "account must have no line breaks"),
        ({"jobs": 0}, "jobs must be a whole number from 1"),
    ],
)
def test_what_is_wrong_in_the_file_is_told(change, words):
    with pytest.raises(InputError, match=words):
        slurm_settings({"cores": 8, "memory": "8GB"} | change)


def test_what_is_missing_is_told_with_the_file(tmp_path):
    (tmp_path / "slurm.toml").write_text("cores = 4")
    with pytest.raises(InputError, match=r"slurm.toml: memory is missing"):
        check_place(str(tmp_path / "slurm.toml"))


@pytest.mark.parametrize(
    "place",
    ["cluster", "local:", "local:0", "local:two", "http://host", "slurm", "tcp://127.0.0.1", "tcp://", "ucx://a:1"],
)
def test_what_is_no_cluster_is_told(place):
    with pytest.raises(InputError, match=r"--cluster .*expected"):
        check_place(place)


@pytest.mark.parametrize("place", ["local:2", "tcp://127.0.0.1:1"])
def test_what_is_not_installed_names_the_extra(monkeypatch, place):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"distributed not installed: pip install .napari-hush\[cluster\]"):
        check_place(place)


def test_a_scheduler_that_does_not_answer_is_told(monkeypatch):
    monkeypatch.setattr("napari_hush.cluster.connect.ANSWER", 0.5)
    with pytest.raises(InputError, match="no scheduler answers there"), connected("tcp://127.0.0.1:9"):
        pass


def test_there_are_no_more_workers_than_gpus():
    with pytest.raises(InputError, match=r"2 GPUs, one for each worker: take local:2, or --device cpu"):
        with local_cluster(3, ["0", "1"]):
            pass


def test_each_worker_of_a_job_takes_a_gpu_of_its_own(monkeypatch):
    chosen = []
    for number in range(3):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
        OwnGpu().setup(SimpleNamespace(name=f"SLURMCluster-7-{number}"))
        chosen.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert chosen == ["4", "5", "6"]
    assert own_gpu("tcp://host:1", ["0", "1"]) is None
