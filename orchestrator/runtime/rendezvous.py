"""Processes of a worker group on one machine find each other by a file: torch's own way opens a port to everyone."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import ray
from ray.train.torch import TorchConfig
from ray.train.torch.config import _set_torch_distributed_env_vars, _setup_torch_process_group, _TorchBackend

if TYPE_CHECKING:
    from ray.train._internal.base_worker_group import BaseWorkerGroup


class _FileBackend(_TorchBackend):  # type: ignore[misc]
    def on_start(self, worker_group: BaseWorkerGroup, backend_config: FileConfig) -> None:
        # A new file each time: torch would believe what an old one says.
        file = Path(backend_config.folder) / f"group-{uuid.uuid4().hex}"
        worker_group.execute(_set_torch_distributed_env_vars)
        ready = [
            worker_group.execute_single_async(
                rank,
                _setup_torch_process_group,
                backend=backend_config.backend,
                world_rank=rank,
                world_size=len(worker_group),
                init_method=file.as_uri(),
                timeout_s=backend_config.timeout_s,
            )
            for rank in range(len(worker_group))
        ]
        ray.get(ready)


@dataclass
class FileConfig(TorchConfig):  # type: ignore[misc]
    """Ray Train's TorchConfig, but that the process group's store is a file in ``folder``, which all processes share.

    torch's TCPStore listens on every address of the machine, and does what anyone who connects asks of it.
    """

    folder: str = ""

    @property
    def backend_cls(self) -> type[_FileBackend]:
        """What Ray Train sets the process group up with."""
        return _FileBackend
