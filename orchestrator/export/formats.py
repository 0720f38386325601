"""A generator as one file, in a form that other programs load, and the file read back."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from orchestrator.data.images import ImageShape
from orchestrator.errors import ExportError
from orchestrator.export.extras import is_installed, require
from orchestrator.hardware import compute_float32_exactly
from orchestrator.models import AnyModel
from orchestrator.objectives import AnyObjective
from orchestrator.training.networks import build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from orchestrator.export.generator import Generator

    Apply = Callable[[Tensor], Tensor]

Format = Literal["safetensors", "onnx", "torchscript"]
LATENTS, IMAGES = "latents", "images"
"""What ONNX calls input and output."""
_METADATA = "gan-orch"
_TRACED = 2
_MOST_BYTES = 1_900_000_000
"""Weights beyond it lie in a file beside that of ONNX: protobuf ends at 2 GiB."""


class Form(NamedTuple):
    """How a format is written, and read back to be compared: None where what reads it is not installed."""

    file: str
    write: Callable[[Generator, Path], None]
    read: Callable[[Path], Apply | None]


def load_generator(path: str | Path) -> nn.Module:
    """The generator of a safetensors file of ``orch export``, on the processor, in eval mode and frozen.

    Latent vectors (n, latent_dim) to images (n, c, h, w) in [-1, 1]. Raises ExportError for any other file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get(_METADATA, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (OSError, SafetensorError, ValueError) as error:
        raise ExportError(f"{path}: cannot be read as safetensors: {error}") from error
    if not isinstance(metadata, dict):
        raise ExportError(f"{path}: no generator of 'orch export': its metadata has no entry {_METADATA}")
    try:
        model: Any = TypeAdapter(AnyModel).validate_json(json.dumps(metadata["model"]))
        objective: Any = TypeAdapter(AnyObjective).validate_json(json.dumps(metadata["objective"]))
        network: nn.Module = build(model, objective, ImageShape(*metadata["image"]))["generator"]
        network.load_state_dict(tensors)
    except (KeyError, TypeError, ValidationError, RuntimeError) as error:
        raise ExportError(f"{path}: not of this version of orch ({type(error).__name__})") from error
    return network.eval().requires_grad_(False)


def _write_safetensors(generator: Generator, path: Path) -> None:
    from safetensors.torch import save

    sections = generator.sections()
    metadata = {"image": list(generator.shape), **sections, "trial_id": generator.trial_id, "job": generator.job}
    tensors = {name: tensor.contiguous() for name, tensor in generator.network.state_dict().items()}
    path.write_bytes(save(tensors, {"format": "pt", _METADATA: json.dumps(metadata)}))


def _write_torchscript(generator: Generator, path: Path) -> None:
    buffer = io.BytesIO()
    with _quiet():
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            generator.fixed(), _latents(generator, _TRACED), check_trace=False
        )
        torch.jit.save(traced, buffer)
    with zipfile.ZipFile(buffer) as saved, zipfile.ZipFile(path, "w") as written:
        for entry in saved.infolist():
            if not entry.filename.endswith(".debug_pkl"):  # the paths of this machine's files, line by line
                written.writestr(zipfile.ZipInfo(entry.filename), saved.read(entry))


def _read_torchscript(path: Path) -> Apply:
    with _quiet():
        loaded: Apply = torch.jit.load(path)  # type: ignore[no-untyped-call]
    return loaded


def _write_onnx(generator: Generator, path: Path) -> None:
    require("--format onnx", "onnx", "onnx", "onnxscript")
    large = sum(tensor.nbytes for tensor in generator.network.state_dict().values()) > _MOST_BYTES
    try:
        with _quiet(), _former_switch_of_tf32():
            program = torch.onnx.export(
                generator.fixed(),
                (_latents(generator, _TRACED),),
                input_names=[LATENTS],
                output_names=[IMAGES],
                dynamic_shapes=({0: torch.export.Dim("n")},),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ExportError(f"--format onnx: {_reason(error)}; take torchscript or safetensors") from error
    assert program is not None
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # among them the lines of this machine's files that it comes from
    program.save(path, external_data=large)


def _read_onnx(path: Path) -> Apply | None:
    if not is_installed("onnxruntime"):
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda latents: torch.from_numpy(session.run([IMAGES], {LATENTS: latents.numpy()})[0])


FORMS: dict[Format, Form] = {
    "safetensors": Form("generator.safetensors", _write_safetensors, load_generator),
    "onnx": Form("generator.onnx", _write_onnx, _read_onnx),
    "torchscript": Form("generator.pt", _write_torchscript, _read_torchscript),
}


def _latents(generator: Generator, count: int) -> Tensor:
    """Latent vectors (count, latent_dim) ~ N(0, I), the same each time."""
    return torch.randn(count, generator.latents, generator=torch.Generator().manual_seed(count))


def largest_difference(generator: Generator, loaded: Apply) -> float:
    """The largest difference between two networks' images, of batches that neither was written with.

    Of values beyond [-1, 1], which flows have, it is the share of the value.
    """
    differences = []
    with torch.no_grad():
        for count in (1, _TRACED + 3):
            latents = _latents(generator, count)
            images = generator.network(latents)
            differences.append(((loaded(latents) - images).abs() / images.abs().clamp(min=1)).max())
    return float(torch.stack(differences).max())


def _reason(error: BaseException) -> str:
    """Why ONNX cannot hold a network, in a line: torch's errors have pages."""
    chain, cause = [], error.__cause__
    while cause is not None:
        chain.append(str(cause))
        cause = cause.__cause__
    for text in chain:
        _, found, rest = text.partition("No ONNX function found for <OpOverload(op='")
        if found:
            return f"ONNX has no operator for {rest.partition(chr(39))[0]}, which the network computes with"
    first = (chain[-1] if chain else str(error)).strip().partition("\n")[0]
    return f"torch cannot write the network as ONNX ({first[:200]})"


@contextmanager
def _former_switch_of_tf32() -> Iterator[None]:
    """torch.export reads and writes cuDNN's former switch, and raises where today's say otherwise."""
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        compute_float32_exactly()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's warnings: of tracing, that it is deprecated, and of what exporters pass over."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
