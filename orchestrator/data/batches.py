"""A data set as one tensor on the training device, and shuffled batches drawn from it there."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from orchestrator.data.ranges import from_bytes
from orchestrator.errors import CheckpointError, DataError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from orchestrator.data.images import ImageSet


class StreamState(TypedDict):
    """The state of a stream: numbers and tensors only, as ``torch.load(weights_only=True)`` requires."""

    images: int
    batch_size: int
    position: int
    """Images of the current pass already returned."""
    pass_generator: Tensor
    """The generator's state before it shuffled the current pass."""
    generator: Tensor
    """The generator's current state."""


def to_device(images: ImageSet, device: torch.device | str) -> Tensor:
    """The pixels as (n, c, h, w) uint8 on ``device``, channels last in memory; always a copy."""
    import torch

    # A copy, since Ray may share the array between processes: it must not be written to.
    return torch.tensor(images.pixels, device=device).contiguous(memory_format=torch.channels_last)


class BatchStream:
    """An endless stream of batches; every pass over the images is shuffled anew.

    A pass returns each image at most once: the images after the last whole batch are dropped. All work is done on the
    device of ``images``, and the host never waits for it. Which images are next is decided by ``choose``, which writes
    their indices to one place; ``chosen`` reads them there, by the same operations each time.
    """

    def __init__(self, images: Tensor, batch_size: int, generator: torch.Generator, local: slice = slice(None)) -> None:
        """Start the first pass, which draws from ``generator``.

        Args:
            images: (n, c, h, w) uint8, 0 black to 255 white.
            batch_size: images in every batch, at least 1.
            generator: source of all shuffling, on the device of ``images``; others may draw from it as well.
            local: the part of each batch that ``next`` returns. The order, and so the state, is that of whole batches:
                processes with equal generators share each batch.

        Raises:
            DataError: there are fewer images than fill one batch.
        """
        assert batch_size >= 1
        if batch_size > len(images):
            raise DataError(
                f"training.batch_size: {batch_size} images to a batch, but only {len(images)} to train on; "
                f"lower it to {len(images)} or less"
            )
        # (n, h, w, c), a view of to_device's tensor: batches selected from it are channels last without a copy.
        self._pixels = images.permute(0, 2, 3, 1).contiguous()
        self._batch_size, self._local = batch_size, local
        self._generator = generator
        self._pass_generator = generator.get_state()
        self._order = self._shuffle()
        self._position = 0
        self._chosen = self._order.new_empty(0, len(range(batch_size)[local]))

    def choose(self, batches: int) -> None:
        """Let ``chosen`` return the next so many batches."""
        if len(self._chosen) != batches:
            self._chosen = self._chosen.new_empty(batches, self._chosen.shape[1])
        for indices in self._chosen:
            if self._position + self._batch_size > len(self._pixels):
                self._pass_generator = self._generator.get_state()
                self._order = self._shuffle()
                self._position = 0
            indices.copy_(self._order[self._position : self._position + self._batch_size][self._local])
            self._position += self._batch_size

    def chosen(self, batch: int = 0) -> tuple[Tensor, Tensor]:
        """This process's part of a chosen batch, (part, c, h, w) float32 in [-1, 1], channels last in memory.

        And the indices of its images (part,), which the next ``choose`` writes over.
        """
        indices = self._chosen[batch]
        return from_bytes(self._pixels.index_select(0, indices).permute(0, 3, 1, 2)), indices

    def next(self) -> Tensor:
        """Choose one batch; returns this process's part of it."""
        return self.next_with_indices()[0]

    def next_with_indices(self) -> tuple[Tensor, Tensor]:
        """The same, and the indices of its images (part,)."""
        self.choose(1)
        return self.chosen()

    def first(self) -> Tensor:
        """The first whole batch of the current pass, the same on every process; ``next`` will return it again."""
        return from_bytes(self._pixels.index_select(0, self._order[: self._batch_size]).permute(0, 3, 1, 2))

    def state_dict(self) -> StreamState:
        """The state from which ``load_state_dict`` continues with the same batches."""
        return {
            "images": len(self._pixels),
            "batch_size": self._batch_size,
            "position": self._position,
            "pass_generator": self._pass_generator,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: StreamState) -> None:
        """Continue from ``state``, including the generator's.

        Raises CheckpointError if the state is of another number of images or batch size.
        """
        stored, current = (state["images"], state["batch_size"]), (len(self._pixels), self._batch_size)
        if stored != current:
            raise CheckpointError(
                f"checkpoint is of {stored[0]} training images in batches of {stored[1]}, "
                f"this trial has {current[0]} in batches of {current[1]}; the data has changed: start the trial anew"
            )
        # A checkpoint may be loaded onto a GPU, but generators accept a state on the CPU only.
        self._pass_generator, generator = state["pass_generator"].cpu(), state["generator"].cpu()
        self._generator.set_state(self._pass_generator)
        self._order = self._shuffle()
        self._position = state["position"]
        self._generator.set_state(generator)

    def _shuffle(self) -> Tensor:
        import torch

        return torch.randperm(len(self._pixels), generator=self._generator, device=self._pixels.device)
