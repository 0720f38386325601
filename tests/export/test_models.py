"""A generator written for other programs makes the images of the one that was trained."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from onnxscript._framework_apis import torch_2_5
from torch import nn

from orchestrator.errors import ExportError
from orchestrator.export.formats import FORMS, load_generator
from orchestrator.export.generator import Generator
from orchestrator.export.models import TOLERANCE, export_generator
from orchestrator.models import NETWORKS
from orchestrator.training.networks import build
from tests.jobs import trial_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.export.formats import Format

SMALL: dict[str, dict[str, Any]] = {
    "autoencoding": {"latent_dim": 5, "width": 2, "code_dim": 7},
    "dcgan": {"latent_dim": 5, "width": 2},
    "encoder_decoder": {"latent_dim": 5, "width": 2},
    "fully_connected": {"latent_dim": 5, "generator_widths": [6, 8], "discriminator_widths": [8, 6]},
    "glow": {"levels": 2, "steps": 1, "width": 2},
    "mixed_layers": {"latent_dim": 5},
    "residual": {"latent_dim": 5, "width": 2, "skip_z": "chunks", "spectral_norm": "both"},
    "small_dcgan": {"latent_dim": 5},
}
"""Settings of each kind at its smallest, with what makes a program of it harder to write."""
OBJECTIVES = {"autoencoding": "began", "encoder_decoder": "autoencoder", "glow": "likelihood"}


def generator_of(kind: str, **sections: Any) -> Generator:
    """A generator of random weights, whose batch norms have seen batches."""
    model = {"kind": kind, **SMALL[kind]}
    data = {"name": "mnist", "root": "/data/of/mine"} if kind == "small_dcgan" else {"name": "digits"}
    objective = {"kind": OBJECTIVES.get(kind, "saturating")}
    settings = trial_settings(**{"model": model, "data": data, "objective": objective, **sections})
    source = torch.Generator().manual_seed(0)
    network = build(settings.model, settings.objective, settings.data.shape)["generator"]
    settings.model.init_weights(getattr(network, "made_of", network), source)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=source), alpha=0.1)
        for _ in range(3):
            network(torch.randn(16, settings.model.latents(settings.data.shape), generator=source))
    network.eval().requires_grad_(False)
    return Generator(network, settings, "0123456789abcdef", "study", facts={"status": "finished"})


@pytest.fixture(scope="module", autouse=True)
def _operators_are_read_once() -> Iterator[None]:
    """The exporter parses five hundred functions anew in each export, which takes half of its time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch_2_5, "get_torchlib_ops", cache(torch_2_5.get_torchlib_ops))
        yield


def test_all_kinds_are_tried() -> None:
    assert SMALL.keys() == NETWORKS.keys()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", SMALL)
def test_every_kind_in_every_format(kind: str, form: Format, tmp_path: Path) -> None:
    generator = generator_of(kind)
    written = export_generator(generator, form, tmp_path / "out")
    assert written.difference is not None
    assert written.difference <= TOLERANCE
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", FORMS[form].file]
    loaded = FORMS[form].read(written.path)
    assert loaded is not None
    latents = 2 * torch.randn(7, generator.latents)  # a batch that nothing was written or compared with
    with torch.no_grad():
        images, expected = loaded(latents), generator.network(latents)
    assert float(((images - expected) / expected.abs().clamp(min=1)).abs().max()) <= TOLERANCE


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[Format, Path]:
    """The folders of one generator, in each format."""
    generator = generator_of("small_dcgan", training={"g_ema": 0.9})
    return {form: export_generator(generator, form, tmp_path_factory.mktemp("folders") / form).path for form in FORMS}


@pytest.mark.parametrize("form", FORMS)
def test_the_code_beside_it_runs_as_it_stands(
    form: Format, exported: dict[Format, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported[form].parent
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert len(code.splitlines()) == 5
    if form == "torchscript":  # which needs torch alone, in a process where nothing of this project is imported
        code += 'import sys\nassert "orchestrator" not in sys.modules\nprint(tuple(pixels.shape), pixels.dtype)\n'
        ran = subprocess.run(
            [sys.executable, "-P", "-W", "ignore", "-c", code],
            cwd=folder, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (ran.stdout, ran.returncode) == ("(16, 1, 28, 28) torch.uint8\n", 0), ran.stderr
        return
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - it is ours
    pixels = np.asarray(names["pixels"])
    assert (pixels.shape, pixels.dtype) == ((16, 1, 28, 28), np.uint8)


@pytest.mark.parametrize("form", FORMS)
def test_the_page_tells_what_it_is_and_no_place_of_this_machine(form: Format, exported: dict[Format, Path]) -> None:
    folder = exported[form].parent
    page = (folder / "README.md").read_text()
    for told in (
        "trial 0123456789abcdef", "| study | study |", "averaged over training", "(n, 5)", "N(0, 1)",
        "(n, 1, 28, 28), in [-1, 1]", "not conditional", "| status | finished |", "kind: small_dcgan", "terms",
    ):  # fmt: skip
        assert told in page
    for path in folder.iterdir():
        content = path.read_bytes()
        if form == "torchscript" and path.suffix == ".pt":
            with zipfile.ZipFile(path) as entries:
                content += b"".join(map(entries.read, entries.namelist()))
        for place in ("/data/of/mine", str(Path(__file__).parents[2]), torch.__path__[0]):
            assert place.encode() not in content


def test_the_map_of_a_fitted_prior_is_part_of_the_file(tmp_path: Path) -> None:
    generator = generator_of("dcgan", objective={"kind": "glo"})
    assert hasattr(generator.network, "factor")
    generator.network.mean.fill_(0.5)  # type: ignore[union-attr, operator]
    generator.network.factor.mul_(2)  # type: ignore[union-attr, operator]
    path = export_generator(generator, "safetensors", tmp_path / "out").path
    latents = torch.randn(3, generator.latents)
    assert torch.equal(load_generator(path)(latents), generator.network(latents))


class Solving(nn.Module):
    """Computes with what ONNX has no operator for."""

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        solved = torch.linalg.solve_triangular(torch.eye(latents.shape[1]), latents.T, upper=True)
        return solved.T


def test_an_operator_that_onnx_lacks_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    generator = generator_of("dcgan")
    odd = Generator(Solving().eval(), generator.settings, generator.trial_id, generator.job)
    with pytest.raises(ExportError) as raised:
        export_generator(odd, "onnx", tmp_path / "out")
    assert str(raised.value) == (
        "--format onnx: ONNX has no operator for aten.linalg_solve_triangular, which the network computes with; "
        "take torchscript or safetensors"
    )
    assert not list(tmp_path.iterdir())


def test_a_file_of_other_images_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    form = FORMS["safetensors"]
    off = form._replace(read=lambda path: lambda latents: load_generator(path)(latents) + 2e-5)
    monkeypatch.setitem(FORMS, "safetensors", off)
    with pytest.raises(ExportError, match=r"images differ by 2\.0e-05 .* expected at most 1e-05; nothing was written"):
        export_generator(generator_of("dcgan"), "safetensors", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_what_is_not_installed_is_one_line_or_said_in_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ExportError) as raised:
        export_generator(generator_of("dcgan"), "onnx", tmp_path / "out")
    assert str(raised.value) == "--format onnx: needs onnxscript: pip install 'gan-orch[onnx]'"
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setitem(FORMS, "torchscript", FORMS["torchscript"]._replace(read=FORMS["onnx"].read))
    assert export_generator(generator_of("dcgan"), "torchscript", tmp_path / "out").difference is None
    assert "was not compared" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "cannot be read as safetensors"), (b"\x02\0\0\0\0\0\0\0{}", "its metadata has no entry gan-orch")],
)
def test_a_file_that_is_no_generator(content: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ExportError, match=problem):
        load_generator(tmp_path / "file")
    with pytest.raises(ExportError, match="no/such/file: cannot be read"):
        load_generator("no/such/file")
