"""Claims on measures that take more images than a trial has: a line before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.spec.job import Job, make_job
from tests.spec.test_claims import STUDY, claim

if TYPE_CHECKING:
    from collections.abc import Callable

FISH = "\ndata: {{name: procedural_fish, height: 16, width: 16, images: {}}}"
INCEPTION = "\nevaluate: [{kind: quality, samples: 3000, features: inception}]"
TOO_FEW = {
    f"[{claim()}]\ndata: {{name: digits, max_images: 128}}": (
        "claims.0.measure: got 'fid', which takes 129 training images or more, not 128"
    ),
    f"[{claim('best_fid')}]{FISH.format(80)}": (
        "claims.0.measure: got 'best_fid', which takes 129 training images or more, not 80"
    ),
    f"[{claim('diversity', more=', than_measure: fid')}]{FISH.format(128)}": (
        "claims.0.than_measure: got 'fid', which takes 129 training images or more, not 128"
    ),
    f"[{claim('quality.fid')}]{FISH.format(128)}": (
        "claims.0.measure: got 'quality.fid', which takes 129 training images or more, not 128"
    ),
    f"[{claim('quality.fid')}]{FISH.format(2048)}{INCEPTION}": (
        "claims.0.measure: got 'quality.fid', which takes 2,049 training images or more, not 2,048"
    ),
    f"[{claim('quality.fid_low')}]{INCEPTION}": (
        "claims.0.measure: got 'quality.fid_low', which takes 4,098 samples or more, not 3,000"
    ),
    f"[{claim('quality.fid_held_out')}]{FISH.format(640)}": (
        "claims.0.measure: got 'quality.fid_held_out', which takes 129 held-out images or more, not 128"
    ),
    f"[{claim('quality.precision_low')}]{FISH.format(11)}": (
        "claims.0.measure: got 'quality.precision_low', which takes 12 training images or more, not 11"
    ),
    f"[{claim('quality.fid_infinity')}]": (
        "claims.0.measure: got 'quality.fid_infinity', which takes 1,024 samples or more, not 1,000"
    ),
    f"[{claim('quality.modes')}]{INCEPTION}": (
        "claims.0.measure: got 'quality.modes', which Inception, trained on other classes, does not tell; take "
        "features: classifier"
    ),
}


@pytest.mark.parametrize(("text", "message"), TOO_FEW.items(), ids=[text[:60] for text in TOO_FEW])
def test_what_can_have_no_value_is_one_line(mistake: Callable[..., str], text: str, message: str) -> None:
    assert mistake(f"{STUDY}claims: {text}") == f"job.yaml: {message}"


@pytest.mark.parametrize(
    "text",
    [
        f"[{claim()}]\ndata: {{name: digits, max_images: 129}}",
        f"[{claim('quality.fid')}]{FISH.format(129)}",
        f"[{claim('quality.fid_held_out')}]{FISH.format(641)}",
        f"[{claim('quality.kid')}, {claim('diversity').replace('id: A', 'id: B')}]{FISH.format(16)}",
        f"[{claim('quality.fid')}]{INCEPTION}",  # of all of digits' images
    ],
)
def test_what_has_just_enough_is_taken(load: Callable[..., Job], text: str) -> None:
    assert load(f"{STUDY}claims: {text}").header.claims


def test_claims_of_too_few_images_are_left_out_after_an_override_and_of_stored_jobs(load: Callable[..., Job]) -> None:
    text = f"{STUDY}claims: [{claim()}]\n"
    line = "claim A is left out: got 'fid', which takes 129 training images or more, not 128"
    few = load(text, "data.max_images=128")
    assert (few.header.claims, few.left_out) == ((), (line,))
    stored = load(text).resolved() | {"data": {"name": "digits", "max_images": 128}}
    assert make_job(stored, "job.yaml", stored=True).left_out == (line,)
    assert load(text, "data.max_images=129").left_out == ()
