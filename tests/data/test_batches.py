from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from orchestrator.data import ImageSet
from orchestrator.data.batches import BatchStream, StreamState, to_device
from orchestrator.data.ranges import to_unit
from orchestrator.errors import CheckpointError, DataError

SHAPE = (1, 2, 2)


def numbered(count: int, shape: tuple[int, int, int] = SHAPE) -> torch.Tensor:
    """Image i holds i in its first two bytes, i // 256 and i % 256."""
    images = torch.zeros((count, *shape), dtype=torch.uint8)
    images.view(count, -1)[:, 0] = torch.arange(count) // 256
    images.view(count, -1)[:, 1] = torch.arange(count) % 256
    return images


def numbers(batch: torch.Tensor) -> list[int]:
    pixels = ((batch.flatten(1)[:, :2].double() + 1) * 127.5).round().int()
    return (pixels[:, 0] * 256 + pixels[:, 1]).tolist()


def stream(count: int, batch_size: int, seed: int = 0) -> BatchStream:
    return BatchStream(numbered(count), batch_size, torch.Generator().manual_seed(seed))


sizes = st.integers(1, 600).flatmap(lambda count: st.tuples(st.just(count), st.integers(1, count)))


@given(sizes=sizes, seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=50)
def test_a_pass_gives_each_image_once(sizes: tuple[int, int], seed: int) -> None:
    count, batch_size = sizes
    batches = stream(count, batch_size, seed)
    for _ in range(3):
        seen = [number for _ in range(count // batch_size) for number in numbers(batches.next())]
        assert len(set(seen)) == len(seen) == count // batch_size * batch_size
        assert set(seen) <= set(range(count))


@pytest.mark.parametrize("bounds", [(0, 8), (0, 4, 8), (0, 3, 4, 8), (0, 1, 8)])
def test_parts_of_a_batch_make_the_batch_and_have_its_state(bounds: tuple[int, ...]) -> None:
    whole = stream(30, 8)
    parts = [BatchStream(numbered(30), 8, torch.Generator().manual_seed(0), slice(*ends)) for ends in pairwise(bounds)]
    for _ in range(7):
        assert [n for part in parts for n in numbers(part.next())] == numbers(whole.next())
    expected = whole.state_dict()
    resumed = stream(30, 8, seed=9)
    resumed.load_state_dict(parts[-1].state_dict())
    assert numbers(resumed.next()) == numbers(whole.next())
    for part in parts:
        state = part.state_dict()
        assert state["position"] == expected["position"]
        assert torch.equal(state["generator"], expected["generator"])


def test_passes_differ_and_drop_other_images() -> None:
    batches = stream(100, 30)
    passes = [[n for _ in range(3) for n in numbers(batches.next())] for _ in range(4)]
    assert len({tuple(order) for order in passes}) == 4
    assert len({frozenset(order) for order in passes}) == 4


def test_every_place_of_the_order_is_equally_likely() -> None:
    batches = stream(6, 6)
    counts = np.zeros((6, 6))
    for _ in range(3000):
        counts[np.arange(6), numbers(batches.next())] += 1
    # 500 expected with a standard deviation of 20: five of them
    assert np.abs(counts - 500).max() < 100


def test_same_seed_same_batches_and_another_seed_others() -> None:
    one, two, other = stream(500, 64, 1), stream(500, 64, 1), stream(500, 64, 2)
    for _ in range(20):
        batch = one.next()
        assert torch.equal(batch, two.next())
        assert not torch.equal(batch, other.next())


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 12)])
@pytest.mark.parametrize("prepared", [False, True])
def test_batches_are_floats_in_channels_last_order(shape: tuple[int, int, int], prepared: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, *shape), dtype=np.uint8)
    images = to_device(ImageSet(pixels), "cpu") if prepared else torch.from_numpy(pixels)
    batch = BatchStream(images, 40, torch.Generator()).next()
    assert batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)
    order = torch.randperm(40, generator=torch.Generator())
    torch.testing.assert_close(batch, torch.from_numpy(pixels[order]).double().div(127.5).sub(1).float())


def test_all_levels_convert_exactly_and_back() -> None:
    images = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1)
    batch = BatchStream(images, 256, torch.Generator()).next()
    assert (batch.min(), batch.max()) == (-1, 1)
    levels = (to_unit(batch) * 255).round().flatten().sort().values
    assert torch.equal(levels, torch.arange(256.0))


def test_to_unit_clamps_and_leaves_its_argument() -> None:
    images = torch.tensor([-3.0, -1.0, 0.0, 1.0, 1.5])
    assert to_unit(images).tolist() == [0, 0, 0.5, 1, 1]
    assert images.tolist() == [-3, -1, 0, 1, 1.5]


def test_to_device_copies_an_array_that_may_not_be_written() -> None:
    pixels = np.arange(8, dtype=np.uint8).reshape(2, 1, 2, 2)
    pixels.flags.writeable = False
    images = to_device(ImageSet(pixels), "cpu")
    images.zero_()
    assert pixels.sum() == 28


@given(sizes=sizes, done=st.integers(0, 40), shared_draws=st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_a_stream_goes_on_from_its_state_as_if_never_stopped(
    sizes: tuple[int, int], done: int, shared_draws: int
) -> None:
    """Also when others draw from the same generator, and after the state went through a file."""

    def advance(batches: BatchStream, generator: torch.Generator, steps: int) -> list[torch.Tensor]:
        drawn = []
        for _ in range(steps):
            drawn += [batches.next(), torch.randn(shared_draws, generator=generator)]
        return drawn

    count, batch_size = sizes
    generator = torch.Generator().manual_seed(7)
    batches = BatchStream(numbered(count), batch_size, generator)
    advance(batches, generator, done)
    file = io.BytesIO()
    torch.save(batches.state_dict(), file)
    expected = advance(batches, generator, 30)

    other_generator = torch.Generator().manual_seed(8)
    other = BatchStream(numbered(count), batch_size, other_generator)
    other.next()
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    for ours, theirs in zip(advance(other, other_generator, 30), expected, strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(generator.get_state(), other_generator.get_state())


def test_a_state_is_not_changed_by_going_on() -> None:
    batches = stream(10, 3)
    state = batches.state_dict()
    first = [batches.next() for _ in range(10)]
    for _ in range(2):
        batches.load_state_dict(state)
        assert all(torch.equal(batches.next(), batch) for batch in first)


@pytest.mark.parametrize(("count", "batch_size"), [(99, 10), (100, 11)])
def test_a_state_of_other_data_is_refused(count: int, batch_size: int) -> None:
    state: StreamState = stream(100, 10).state_dict()
    with pytest.raises(CheckpointError, match=rf"100 training images in batches of 10, .*{count} in .* {batch_size};"):
        stream(count, batch_size).load_state_dict(state)


def test_too_few_images_for_a_batch() -> None:
    with pytest.raises(DataError, match=r"^training\.batch_size: 65 images to a batch, but only 64 .*64 or less$"):
        stream(64, 65)
    assert len(stream(64, 64).next()) == 64


def test_nothing_is_read_back_to_the_host() -> None:
    """The operations that make the host wait for a GPU, seen from a CPU."""

    class Names(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.seen: set[str] = set()

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            self.seen.add(func.overloadpacket.__name__)
            return func(*args, **(kwargs or {}))

    batches = stream(64, 16)
    with Names() as names:
        for _ in range(10):
            batches.next()
    assert {"randperm", "index_select"} <= names.seen
    assert not names.seen & {"_local_scalar_dense", "nonzero", "equal", "masked_select", "unique2"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_stream_never_waits_and_resumes() -> None:
    generator = torch.Generator("cuda").manual_seed(0)
    batches = BatchStream(to_device(ImageSet(numbered(64).numpy()), "cuda"), 16, generator)
    torch.cuda.set_sync_debug_mode("error")
    try:
        drawn = [batches.next() for _ in range(10)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert sorted(n for batch in drawn[:4] for n in numbers(batch.cpu())) == list(range(64))
    state = batches.state_dict()
    expected = [batches.next() for _ in range(10)]
    batches.load_state_dict({key: v.cuda() if isinstance(v, torch.Tensor) else v for key, v in state.items()})
    assert all(torch.equal(batches.next(), batch) for batch in expected)
