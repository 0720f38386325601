"""The page that lies beside an exported generator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from orchestrator import __version__
from orchestrator.export.formats import FORMS, IMAGES, LATENTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.export.formats import Format
    from orchestrator.export.generator import Generator

_COLOURS = {1: "grey", 3: "red, green, blue"}


def readme(generator: Generator, form: Format, difference: float | None) -> str:
    """The page, as Markdown. ``difference`` is that of images; None where nothing could compare them."""
    facts = {
        "study": generator.job,
        "trial": generator.trial_id,
        "weights": _weights(generator),
        "networks": f"{generator.settings.model.kind}, trained by {generator.settings.objective.kind}",
        "trained on": generator.settings.data.name,
        **generator.facts,
        "written by": f"orch {__version__}",
    }
    return (
        "\n\n".join(
            [
                f"# Generator of trial {generator.trial_id}",
                f"`{FORMS[form].file}` maps random vectors to images.",
                _table({"fact": "value", **facts}),
                "## Input and output",
                _interface(generator),
                "## Load it",
                f"```python\n{_CODE[form](generator)}\n```",
                _NEEDS[form],
                _checked(difference),
                "## Settings of the trial",
                f"```yaml\n{yaml.safe_dump(generator.sections(), sort_keys=False)}```",
                "## Licence",
                "Nothing here says under what terms the training images may be used, nor what these allow of a "
                "network that learned from them. Look it up before the file is passed on.",
            ]
        )
        + "\n"
    )


def _table(rows: dict[str, str]) -> str:
    (head, value), *rest = rows.items()
    lines = [f"| {head} | {value} |", "|---|---|", *(f"| {name} | {_cell(text)} |" for name, text in rest)]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _weights(generator: Generator) -> str:
    which = "of the trial's end" if generator.checkpoint == "last" else "of the trial's lowest FID"
    return f"{which}, averaged over training (g_ema)" if generator.averaged else which


def _interface(generator: Generator) -> str:
    channels, height, width = generator.shape
    colours = _COLOURS.get(channels, f"{channels} channels")
    beyond = "nominally in [-1, 1]: clip what lies beyond" if generator.settings.model.kind == "glow" else "in [-1, 1]"
    return "\n".join(
        [
            f"- Input `{LATENTS}`: float32 (n, {generator.latents}), any n; each number is drawn from the standard "
            "normal distribution, N(0, 1). Numbers cut to [-t, t] give images of less variety.",
            f"- Output `{IMAGES}`: float32 (n, {channels}, {height}, {width}), {beyond}; channels ({colours}), then "
            "rows from the top, then columns. A byte is round((x + 1) 127.5).",
            "- There is no other input: images are not conditional on a class.",
            "- Equal latents give equal images, whatever else is in the batch.",
        ]
    )


def _of_safetensors(generator: Generator) -> str:
    return "\n".join(
        [
            "import torch",
            "from orchestrator.export.formats import load_generator",
            f'generator = load_generator("{FORMS["safetensors"].file}")',
            f"images = generator(torch.randn(16, {generator.latents}))",
            "pixels = ((images.clip(-1, 1) + 1) * 127.5).round().byte()",
        ]
    )


def _of_torchscript(generator: Generator) -> str:
    return "\n".join(
        [
            "import torch",
            f'generator = torch.jit.load("{FORMS["torchscript"].file}")',
            "with torch.no_grad():",
            f"    images = generator(torch.randn(16, {generator.latents}))",
            "pixels = ((images.clip(-1, 1) + 1) * 127.5).round().byte()",
        ]
    )


def _of_onnx(generator: Generator) -> str:
    return "\n".join(
        [
            "import numpy as np, onnxruntime",
            f'session = onnxruntime.InferenceSession("{FORMS["onnx"].file}")',
            f"latents = np.random.default_rng(0).standard_normal((16, {generator.latents}), dtype=np.float32)",
            f'images = session.run(["{IMAGES}"], {{"{LATENTS}": latents}})[0]',
            "pixels = ((images.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)",
        ]
    )


_CODE: dict[Format, Callable[[Generator], str]] = {
    "safetensors": _of_safetensors,
    "onnx": _of_onnx,
    "torchscript": _of_torchscript,
}
_NEEDS: dict[Format, str] = {
    "safetensors": "This needs gan-orch, which builds the networks by the settings in the file's metadata (entry "
    "`gan-orch`, JSON). Without it the file is weights by their names, which any program that reads safetensors gets "
    "as arrays; it must build the same layers itself, from `orchestrator/models` and the settings below. The formats "
    "`onnx` and `torchscript` have the layers too.",
    "onnx": "This needs onnxruntime (or any other program that runs ONNX) and neither torch nor gan-orch.",
    "torchscript": "This needs torch (from C++ too, as libtorch) and not gan-orch. Later versions of torch may drop "
    "TorchScript, which is deprecated.",
}


def _checked(difference: float | None) -> str:
    if difference is None:
        return "The file was not compared with the network it was written from: onnxruntime was not installed."
    return (
        f"The file was loaded again and compared with the trained network: images differ by at most {difference:.1e}."
    )
