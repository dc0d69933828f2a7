import numpy as np
import pytest
import torch

from napari_hush.cluster import worker
from napari_hush.model import Model


@pytest.fixture(scope="session")
def workers():
    """The address of a scheduler with two workers, all in this process."""
    distributed = pytest.importorskip("distributed")
    options = {"processes": False, "n_workers": 2, "threads_per_worker": 1, "protocol": "tcp://"}
    with distributed.LocalCluster(**options, dashboard_address=":0", memory_limit=0) as cluster:
        yield cluster.scheduler_address
        worker.close()


@pytest.fixture(scope="session")
def client(workers):
    from distributed import Client

    with Client(workers, set_as_default=False) as client:
        yield client


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder with a noisy stack and a small model whose weights matter."""
    monkeypatch.chdir(tmp_path)
    smooth = np.kron(np.random.default_rng(0).random((4, 5)), np.ones((32, 32)))
    np.save("stack.npy", (smooth * 50 + np.random.default_rng(1).normal(0, 10, (2, 128, 160))).astype(np.float32))
    torch.manual_seed(0)
    model = Model.create("cnn", {"widths": [4]})
    for parameter in model.network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save("model.safetensors")
    return tmp_path
