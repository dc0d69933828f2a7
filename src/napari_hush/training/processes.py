"""How many processes train together, as torchrun or srun says in the environment, and which GPU each of them takes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_hush.errors import InputError
from napari_hush.inference.engines.devices import chosen_device

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Processes:
    """The processes of one training.

    Parameters
    ----------
    world : int
        All of them.
    local : int
        Those of this machine.
    rank : int
        Which one this is; 0 alone writes files.
    by_slurm : bool
        Whether srun has started them.
    """

    world: int = 1
    local: int = 1
    rank: int = 0
    by_slurm: bool = False

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Processes:
        """Those that the environment tells of.

        Raises
        ------
        InputError
            If srun has not told how many there are on each machine.
        """
        if "WORLD_SIZE" in environment:  # torchrun, also inside of a job of SLURM
            world = int(environment["WORLD_SIZE"])
            return cls(world, int(environment.get("LOCAL_WORLD_SIZE", world)), int(environment.get("RANK", "0")))
        # a step is what srun starts; the script of a job has the job's number of tasks, too, but is alone
        world = int(environment.get("SLURM_STEP_NUM_TASKS", "1"))
        if world == 1 or environment.get("SLURM_JOB_NAME") in ("bash", "interactive"):
            return cls()
        local = environment.get("SLURM_NTASKS_PER_NODE")
        if local is None:
            raise InputError(
                f"srun has started {world} processes and does not say how many on each machine: give it "
                "--ntasks-per-node, or start the training with torchrun"
            )
        return cls(world, int(local), int(environment["SLURM_PROCID"]), by_slurm=True)

    @property
    def nodes(self) -> int:
        """Machines."""
        return max(self.world // self.local, 1)

    def accelerator(self, device: str) -> dict[str, Any]:
        """The arguments of Fabric for a device: its kind, and how many or which of it.

        Raises
        ------
        InputError
            If the device is not there, or all processes should take the same one.
        """
        kind, _, number = chosen_device(device).partition(":")
        if self.world > 1 and ":" in device:
            raise InputError(
                f"device {device!r} is one GPU, and {self.world} processes train: each takes one of its own with "
                "device='cuda'; CUDA_VISIBLE_DEVICES says which there are"
            )
        if kind == "cuda" and self.world == 1:
            return {"accelerator": kind, "devices": [int(number)]}
        return {"accelerator": kind, "devices": self.local}

    def plugins(self) -> list[Any]:
        """What tells Fabric of the others."""
        from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
        from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

        if self.by_slurm:
            return [SLURMEnvironment(auto_requeue=False)]
        return [TorchElasticEnvironment()]
