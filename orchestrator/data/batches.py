"""A data set as one tensor on the training device, and shuffled batches drawn from it there."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from orchestrator.errors import CheckpointError, DataError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from orchestrator.data.images import ImageSet


class StreamState(TypedDict):
    """Where a stream stands: plain numbers and tensors, which ``torch.load(weights_only=True)`` reads."""

    images: int
    batch_size: int
    position: int
    """Images of the running pass already given."""
    pass_generator: Tensor
    """The generator's state before it shuffled the running pass."""
    generator: Tensor
    """The generator's state now."""


def to_device(images: ImageSet, device: torch.device | str) -> Tensor:
    """The pixels as (n, c, h, w) uint8 on ``device``, channels last in memory; always a copy."""
    import torch

    # the array may be one that Ray shares between processes, which must not be written to
    return torch.tensor(images.pixels, device=device).contiguous(memory_format=torch.channels_last)


def to_unit(images: Tensor) -> Tensor:
    """Images in [-1, 1] as [0, 1]; what lies outside is clamped."""
    return images.add(1).div_(2).clamp_(0, 1)


def from_bytes(images: Tensor) -> Tensor:
    """Images of uint8, 0 black to 255 white, as float32 in [-1, 1]."""
    return images.float().div_(127.5).sub_(1)


def to_bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8, 0 black to 255 white; what lies outside is clamped."""
    return images.float().add(1).mul_(127.5).round_().clamp_(0, 255).byte()


class BatchStream:
    """An endless stream of batches; every pass over the images is shuffled anew.

    A pass gives each image at most once: the images left over by the last whole batch are dropped. All work
    is done on the device that ``images`` is on, and the host never waits for it.
    """

    def __init__(self, images: Tensor, batch_size: int, generator: torch.Generator, own: slice = slice(None)) -> None:
        """Start the first pass, which draws from ``generator``.

        Args:
            images: (n, c, h, w) uint8, 0 black to 255 white.
            batch_size: images in every batch, at least 1.
            generator: source of all shuffling, on the device of ``images``; others may draw from it as well.
            own: the part of each batch that ``next`` gives. The order, and so the state, is of whole batches:
                processes that draw from equal generators share each batch among them.

        Raises:
            DataError: there are fewer images than fill one batch.
        """
        assert batch_size >= 1
        if batch_size > len(images):
            raise DataError(
                f"training.batch_size: {batch_size} images to a batch, but only {len(images)} to train on; "
                f"lower it to {len(images)} or less"
            )
        # (n, h, w, c), a view of to_device's tensor: what is picked from it is channels last as it stands
        self._pixels = images.permute(0, 2, 3, 1).contiguous()
        self._batch_size, self._own = batch_size, own
        self._generator = generator
        self._pass_generator = generator.get_state()
        self._order = self._shuffle()
        self._position = 0

    def next(self) -> Tensor:
        """This process's part of the next batch: (part, c, h, w) float32 in [-1, 1], channels last in memory."""
        return self.next_numbered()[0]

    def next_numbered(self) -> tuple[Tensor, Tensor]:
        """The same, and the numbers of its images (part,)."""
        if self._position + self._batch_size > len(self._pixels):
            self._pass_generator = self._generator.get_state()
            self._order = self._shuffle()
            self._position = 0
        chosen = self._order[self._position : self._position + self._batch_size][self._own]
        self._position += self._batch_size
        return from_bytes(self._pixels.index_select(0, chosen).permute(0, 3, 1, 2)), chosen

    def first(self) -> Tensor:
        """The first batch of the running pass, whole whatever this process's part is; it is not taken."""
        return from_bytes(self._pixels.index_select(0, self._order[: self._batch_size]).permute(0, 3, 1, 2))

    def state_dict(self) -> StreamState:
        """What ``load_state_dict`` needs to go on with the very same batches."""
        return {
            "images": len(self._pixels),
            "batch_size": self._batch_size,
            "position": self._position,
            "pass_generator": self._pass_generator,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: StreamState) -> None:
        """Go on from ``state``; the generator is set to what it was then.

        Raises CheckpointError when the state is of another number of images or batch size.
        """
        was, now = (state["images"], state["batch_size"]), (len(self._pixels), self._batch_size)
        if was != now:
            raise CheckpointError(
                f"checkpoint is of {was[0]} training images in batches of {was[1]}, "
                f"this trial has {now[0]} in batches of {now[1]}; the data has changed: start the trial anew"
            )
        # a checkpoint read onto a GPU brings them there, and generators take their state from the host only
        self._pass_generator, generator = state["pass_generator"].cpu(), state["generator"].cpu()
        self._generator.set_state(self._pass_generator)
        self._order = self._shuffle()
        self._position = state["position"]
        self._generator.set_state(generator)

    def _shuffle(self) -> Tensor:
        import torch

        return torch.randperm(len(self._pixels), generator=self._generator, device=self._pixels.device)
