"""The group of processes that train one trial together: the only communication of the training code."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import distributed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor
    from torch.nn import Parameter

_T = TypeVar("_T")
_FEW = 16384
"""Up to this many numbers, ``stack`` and a local sum are faster than gloo's all_reduce."""


class Group:
    """The ``size`` processes of torch's default process group, from the process of this ``rank``.

    All processes must call each method in the same order; a group of one never communicates. Methods raise
    ConnectionError if another process has gone: the trial can continue on other processes.

    gloo tells so in the call itself. NCCL only queues its work on the device: a call returns before anything was sent.
    Where a process has gone, the work of the others never ends, or fails in torch's watchdog thread, which then ends
    the process (``TORCH_NCCL_ASYNC_ERROR_HANDLING=1``). So on GPUs a loss is heard of in one of
    three ways: by ``broadcast``, which goes over gloo before each slice of steps; from Ray, which ends a worker group
    of which one process has died; or, where a process hangs, by the watchdog's timeout, the process group's own.
    """

    def __init__(self, rank: int, size: int) -> None:
        assert 0 <= rank < size
        self.rank, self.size = rank, size

    @property
    def is_leader(self) -> bool:
        """Whether this process is the only one that writes to storage."""
        return self.rank == 0

    def broadcast(self, value: _T) -> _T:
        """The leader's value on every process; it is pickled and sent through the hosts' memory, so keep it small."""
        if self.size == 1:
            return value
        values = [value]
        with _lost_as_connection_error():
            distributed.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return values[0]

    def disband(self) -> None:
        """End torch's process group, of which this process must ask nothing more."""
        if self.size > 1:
            distributed.destroy_process_group()

    def local_slice(self, count: int) -> slice:
        """This process's part of ``count`` items: parts are in order of rank and differ by one item at most."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def local_shard(self, joined: Tensor) -> Tensor:
        """This process's part of a tensor that ``gather`` joined, as a view."""
        return joined[self.local_slice(len(joined))]

    def stack(self, tensor: Tensor) -> Tensor:
        """The tensors of all processes, of one shape, stacked by rank: (size, ...). It has no gradient."""
        tensor = tensor.detach().contiguous()
        rows = tensor.new_empty(self.size, *tensor.shape)
        with _lost_as_connection_error():
            if self.size == 1 or tensor.device.type == "cpu":
                self._stack_at_leader(tensor, rows)
            else:
                # torch 2.14 gave it a new name.
                gather = getattr(distributed, "all_gather_single", None) or distributed.all_gather_into_tensor
                gather(rows.view(-1), tensor.view(-1))
        return rows

    def _stack_at_leader(self, tensor: Tensor, rows: Tensor) -> None:
        """Fill ``rows`` via the leader: over gloo this takes a third of the time of all_gather."""
        if self.is_leader:
            rows[0].copy_(tensor)
            for rank in range(1, self.size):
                distributed.recv(rows[rank], rank)
            for request in [distributed.isend(rows, rank) for rank in range(1, self.size)]:
                assert request is not None
                request.wait()
        else:
            distributed.send(tensor, 0)
            distributed.recv(rows, 0)

    def gather(self, part: Tensor, total: int) -> Tensor:
        """The parts of all processes joined along the first dimension, which then has ``total`` entries.

        ``part`` is this process's ``local_slice(total)``. It has no gradient.
        """
        if self.size == 1:
            return part.detach()
        if total % self.size == 0:
            return self.stack(part).flatten(0, 1)
        longest = -(-total // self.size)
        padded = part.new_zeros(longest, *part.shape[1:])
        padded[: len(part)] = part.detach()
        lengths = [len(range(total)[Group(rank, self.size).local_slice(total)]) for rank in range(self.size)]
        return torch.cat([row[:length] for row, length in zip(self.stack(padded), lengths, strict=True)])

    def sum(self, tensor: Tensor) -> None:
        """Replace the tensor by the sum over all processes, in place."""
        if self.size == 1:
            return
        if tensor.device.type == "cpu" and tensor.numel() <= _FEW:
            tensor.copy_(self.stack(tensor).sum(0))
        else:
            with _lost_as_connection_error():
                distributed.all_reduce(tensor)

    def sum_gradients(self, parameters: Iterable[Parameter], extra: Iterable[Tensor] = ()) -> None:
        """Sum each parameter's gradient, and each of ``extra``, over all processes, in one exchange.

        Each gradient is then a view of what was exchanged, which takes no copy; ``extra`` changes in place.
        """
        if self.size == 1:
            return
        trained, extra = [p for p in parameters if p.grad is not None], list(extra)
        tensors = [*(p.grad for p in trained if p.grad is not None), *extra]
        sums = self._sum_together(tensors)
        for parameter, gradient in zip(trained, sums, strict=False):
            parameter.grad = gradient
        _copy(extra, sums[len(trained) :])

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by the mean over all processes, in place and in one exchange; all have one dtype."""
        if self.size > 1:
            tensors = list(tensors)
            _copy(tensors, [total * (1.0 / self.size) for total in self._sum_together(tensors)])

    def _sum_together(self, tensors: list[Tensor]) -> list[Tensor]:
        """The sums over all processes, each of its tensor's shape and strides: views of one flat tensor."""
        if not tensors:
            return []
        # In the order of memory, so that channels last are not copied into another order first.
        flat = torch.cat([_in_memory_order(tensor) for tensor in tensors])
        self.sum(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        return [part.as_strided(t.shape, t.stride()) for part, t in zip(parts, tensors, strict=True)]


def _in_memory_order(tensor: Tensor) -> Tensor:
    extent = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    assert extent == tensor.numel(), "a tensor with gaps, or whose elements share memory"
    return tensor.as_strided((tensor.numel(),), (1,))


def _copy(to: list[Tensor], values: list[Tensor]) -> None:
    for tensor, value in zip(to, values, strict=True):
        tensor.copy_(value)


ALONE = Group(0, 1)
"""The group of one process."""


def current_group() -> Group:
    """The processes of torch's default process group, or ``ALONE`` where there is none.

    The group must reach tensors on the CPU as well as those it trains on: its backend is gloo, or
    ``cpu:gloo,cuda:nccl``.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return ALONE
    return Group(distributed.get_rank(), distributed.get_world_size())


@contextmanager
def _lost_as_connection_error() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not _may_be_a_loss(error):
            raise
        text = " ".join(str(error).split())
        raise ConnectionError(f"a process that trained the trial with this one has gone: {text[:200]}") from error


def _may_be_a_loss(error: RuntimeError) -> bool:
    """Whether the loss of another process can look so: gloo and NCCL report it as they report all else.

    Memory that lacks and a fault of this process's device are no loss: others decide what they mean for the trial. NCCL
    has a class for all of its errors, so that of them the text tells.
    """
    of_this_process = (torch.OutOfMemoryError, torch.AcceleratorError, NotImplementedError, RecursionError)
    return not isinstance(error, of_this_process) and not re.search(r"out of memory|allocate memory", str(error))
