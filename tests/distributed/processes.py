"""A few processes on this machine that form a group over gloo and run what a test hands them."""

from __future__ import annotations

import os
import pickle
import traceback
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import distributed

from orchestrator.distributed.group import current_group

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

PATIENCE_S = 120.0
SHARED = ["tests.distributed.processes", "torch.fx.experimental.symbolic_shapes", "orchestrator.training.session"]
"""Modules that one process imports, for seconds, and all are forked from; the second, torch's first backward pass."""


class Processes:
    """``size`` processes of a thread each, on processors. They stay up: to call one costs nothing."""

    def __init__(self, size: int, backend: str = "gloo") -> None:
        self.size, self.folder = size, TemporaryDirectory(prefix="orch-group-")
        # A process that has been forked cannot use CUDA where its parent has asked for devices.
        context = get_context("spawn" if "nccl" in backend else "forkserver")
        context.set_forkserver_preload(SHARED)
        self.pipes: list[Connection] = []
        self.members = []
        for rank in range(size):
            ours, theirs = context.Pipe()
            member = context.Process(target=_serve, args=(theirs, rank, size, backend, self.folder.name), daemon=True)
            member.start()
            theirs.close()  # so that a process that dies is heard of
            self.pipes.append(ours)
            self.members.append(member)

    def run(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call ``function(group, *arguments)`` in every process; what they return, by rank."""
        self.send(function, *arguments)
        answers = [self.answer(rank) for rank in range(self.size)]
        failures = [answer for ok, answer in answers if not ok]
        assert not failures, "\n".join(failures)
        return [answer for _, answer in answers]

    def send(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Have every process call ``function(group, *arguments)``."""
        for pipe in self.pipes:
            # Plain pickles: torch's own sending would leave tensors in memory that the sender has to keep.
            pipe.send_bytes(pickle.dumps((function, arguments)))

    def answer(self, rank: int) -> tuple[bool, Any]:
        """What one of them has to say: (True, what it returns), or (False, the traceback)."""
        assert self.pipes[rank].poll(PATIENCE_S), f"process {rank} of {self.size} does not answer"
        return pickle.loads(self.pipes[rank].recv_bytes())  # type: ignore[no-any-return] # noqa: S301 - our own bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self.pipes:
            pipe.close()
        for member in self.members:
            member.kill()
            member.join()
        self.folder.cleanup()


def _serve(pipe: Connection, rank: int, size: int, backend: str, folder: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if "nccl" in backend:
        torch.cuda.set_device(rank)
    distributed.init_process_group(backend, init_method=f"file://{Path(folder)}/meet", rank=rank, world_size=size)
    group = current_group()
    while True:
        try:
            function, arguments = pickle.loads(pipe.recv_bytes())  # noqa: S301 - our own bytes
        except EOFError:
            return
        try:
            answer = (True, function(group, *arguments))
        except Exception:
            answer = (False, f"process {rank}:\n{traceback.format_exc()}")
        pipe.send_bytes(pickle.dumps(answer))
