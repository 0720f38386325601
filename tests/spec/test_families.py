"""Objectives, networks and settings that cannot go together: each mistake gives one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.state.due import find_due

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.spec.job import Job

CODED = "model: {kind: encoder_decoder}"
FLOW = "model: {kind: glow}\nobjective: {kind: likelihood}"
WAE = f"{CODED}\nobjective: {{kind: wae_mmd}}"
GLO = f"{CODED}\nobjective: {{kind: glo}}"
NO_USE = "has no use for it; take it out, or choose an objective that has"
CLAIM = (
    "claims: [{{id: C, says: so it is, measure: {}, better: lower, group: {{training.seed: 0}}, "
    "than: {{training.seed: 1}}}}]"
)
SEEDS = "grid: {training.seed: [0, 1]}"
MIXED = "grid: {families: [{model.kind: glow, objective.kind: likelihood}, {objective.kind: non_saturating}]}"
PAIRED = "model: {kind: dcgan}"
FLAT = (
    "its generator turns 100 numbers into images of 784, which fill no volume among all images: p(x) is 0 for almost "
    "every image."
)
TAKES = (
    " It would take a model of noise around the generated images and annealed importance sampling over z for each "
    "image (Wu et al., arXiv 1611.04273), whose answer depends on the noise; or an invertible generator of 784 latent "
    "numbers, such as glow."
)

MISTAKES = {
    # networks that a model lacks
    "objective: {kind: wae_mmd}": (
        "objective: wae_mmd needs a model with an encoder, which dcgan does not have; set model.kind to encoder_decoder"
    ),
    "objective: {kind: likelihood}": (
        "objective: likelihood needs a model with a flow, which dcgan does not have; set model.kind to glow"
    ),
    CODED: (
        "objective: non_saturating needs a model with a discriminator, which encoder_decoder does not have; set "
        "model.kind to autoencoding or dcgan or fully_connected or mixed_layers or residual or small_dcgan"
    ),
    "model: {kind: glow}\nobjective: {kind: autoencoder}": (
        "objective: autoencoder needs a model with an encoder and a generator, which glow does not have; set "
        "model.kind to encoder_decoder"
    ),
    # settings of a discriminator that there is not
    f"{WAE}\ntraining: {{d_steps: 2}}": f"training.d_steps: wae_mmd {NO_USE}",
    f"{GLO}\ntraining: {{g_steps: 2}}": f"training.g_steps: glo {NO_USE}",
    f"{GLO}\ntraining: {{unrolled_steps: 2}}": f"training.unrolled_steps: glo {NO_USE}",
    f"{FLOW}\ntraining: {{noise_epochs: 2}}": f"training.noise_epochs: likelihood {NO_USE}",
    f"{WAE}\ntraining: {{d_optimizer: {{lr: 0.1}}}}": f"training.d_optimizer: wae_mmd {NO_USE}",
    f"{CODED}\nobjective: {{kind: wae_adversarial}}\ntraining: {{d_steps: 2}}": (
        f"training.d_steps: wae_adversarial {NO_USE}"
    ),
    "model: {kind: dcgan, dropout: 0.5}\nobjective: {kind: glo}": (
        "model.dropout: glo trains no discriminator; take it out"
    ),
    "model: {kind: dcgan, discriminator_norm: layer}\nobjective: {kind: glo}": (
        "model.discriminator_norm: glo trains no discriminator; take it out"
    ),
    f"{WAE}\ntraining: {{stop_when: [saturated]}}": (
        "training.stop_when: got saturated, which wae_mmd cannot become: it has no discriminator of images"
    ),
    f"{CODED}\nobjective: {{kind: wae_adversarial}}\ntraining: {{stop_when: [saturated]}}": (
        "training.stop_when: got saturated, which wae_adversarial cannot become: it has no discriminator of images"
    ),
    # weights
    f"{CODED}\nobjective: {{kind: wae_mmd, growth: 2.0}}\ntraining: {{epochs: 2000}}": (
        "objective.growth: got 2, by which the weight 0.1 passes 1e+30 within 2000 epochs; set greatest"
    ),
    f"{CODED}\nobjective: {{kind: wae_moments, greatest: null}}\ntraining: {{epochs: 2000}}": (
        "objective.growth: got 2, by which the weight 0.001 passes 1e+30 within 2000 epochs; set greatest"
    ),
    f"{CODED}\nobjective: {{kind: wae_moments, greatest: 0.0001}}": (
        "objective: greatest: got 0.0001, expected at least the first weight, 0.001"
    ),
    # what a flow cannot do
    "model: {kind: glow, levels: 3}\nobjective: {kind: likelihood}": (
        "model: glow with levels: 3 halves the sides 3 times, which those of the data, 28x28, do not let; the most: 2"
    ),
    f"{FLOW}\ntraining: {{precision: bf16}}": (
        "training.precision: got bf16, expected auto or fp32: likelihood takes single precision"
    ),
    "model: {kind: glow, latent_dim: 3}\nobjective: {kind: likelihood}": (
        "model.latent_dim: unknown key; allowed: kind, levels, steps, width"
    ),
    # sizes
    f"{WAE}\ntraining: {{batch_size: 1}}": "training.batch_size: got 1, expected a number >= 2",
    "model: {kind: encoder_decoder, depth: 5}\nobjective: {kind: glo}": (
        "model: encoder_decoder at depth 5 takes images of at least 33x33, the data's are 28x28"
    ),
    f"{GLO}\ntraining: {{schedule: {{kind: plateau}}}}": (
        "training.schedule.measure: got 'm_global', expected one of g_loss, g_grad_norm, reconstruction"
    ),
    # what is measured of other families alone
    f"{SEEDS}\ntraining: {{measure_every: 1}}\n{CLAIM.format('latent_ks')}": (
        "claims.0.measure: got 'latent_ks', but no trial under non_saturating has codes"
    ),
    f"{WAE}\n{SEEDS}\n{CLAIM.format('bits_per_dimension')}": (
        "claims.0.measure: got 'bits_per_dimension', which a trial under wae_mmd does not have"
    ),
    f"{WAE}\n{SEEDS}\n{CLAIM.format('latent_ks')}": (
        "claims.0.measure: got 'latent_ks', which is measured of samples: set training.measure_every"
    ),
    # likelihoods where there are none
    "evaluate: [{kind: likelihood}]": f"evaluate.0: likelihood: no trial of this job has it: {FLAT}{TAKES}",
    "model: {kind: dcgan, latent_dim: 1000}\nevaluate: [{kind: likelihood}]": (
        "evaluate.0: likelihood: no trial of this job has it: its generator turns 1000 numbers into images of 784, and "
        f"has no inverse: p(x) would be a sum over all z that make the image, which cannot be found.{TAKES}"
    ),
    f"{GLO}\nevaluate: [{{kind: likelihood}}]": (
        f"evaluate.0: likelihood: no trial of this job has it: {FLAT} Its latent vectors have no prior either, but the "
        f"Gaussian that was fitted to them afterwards.{TAKES}"
    ),
    f"{FLOW}\nevaluate: [{{kind: likelihood, against: [{{name: celeba}}]}}]": (
        "evaluate.0: against.0: images of 64x64x3, but those of the trial are 28x28x1"
    ),
    f"{FLOW}\nevaluate: [{{kind: likelihood, against: [{{name: mnist}}, {{name: mnist, max_images: 99}}]}}]": (
        "evaluate.0: against.1: got mnist twice; take one out"
    ),
    f"{PAIRED}\n{MIXED}\nevaluate: [{{kind: likelihood}}]\n"
    "claims: [{id: C, says: so it is, measure: likelihood.bits_per_dimension, better: lower, group: "
    "{objective.kind: likelihood}, than: {objective.kind: non_saturating}}]": (
        "claims.0.than: trials under non_saturating have no likelihood"
    ),
    f"{FLOW}\ndata: {{name: digits}}\nevaluate: [{{kind: likelihood, against: [{{name: mnist}}]}}]\n"
    "claims: [{id: C, says: so it is, measure: likelihood.bits_per_dimension, better: lower, group: {data: digits}, "
    "than: {data: mnistt}}]": "claims.0.than.data: got 'mnistt', expected one of 'digits', 'mnist'",
    f"{PAIRED}\n{SEEDS}\nevaluate: [{{kind: reconstruction}}]\n"
    "claims: [{id: C, says: so it is, measure: reconstruction.mse, better: lower, group: {training.seed: 0}, "
    "than: {training.seed: 1, method: encoder}}]": "claims.0.than.method: got 'encoder', expected one of 'search'",
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.items(), ids=[text[:60] for text in MISTAKES])
def test_a_mistake_is_one_line(mistake: Callable[..., str], text: str, message: str) -> None:
    assert mistake(text) == f"job.yaml: {message}"


@pytest.mark.parametrize(
    "text",
    [
        f"{CODED}\nobjective: {{kind: wae_adversarial}}\ntraining: {{d_optimizer: {{lr: 0.1}}}}",
        f"{CODED}\nobjective: {{kind: wae_mmd, growth: 2.0, greatest: 4.0}}\ntraining: {{epochs: 2000}}",
        f"{WAE}\ntraining: {{batch_size: 2}}",
        f"{WAE}\ntraining: {{d_steps: 1}}",
        f"{WAE}\n{SEEDS}\ntraining: {{measure_every: 1}}\n{CLAIM.format('latent_ks')}",
        f"{FLOW}\n{SEEDS}\n{CLAIM.format('bits_per_dimension')}",
        f"{FLOW}\ntraining: {{precision: fp32}}",
        f"{FLOW}\nevaluate: [{{kind: likelihood, against: [{{name: fashion_mnist}}]}}]",
    ],
)
def test_what_is_next_to_a_mistake_is_none(load: Callable[..., Job], text: str) -> None:
    assert load(text).trials


def test_a_likelihood_in_a_job_of_several_families_is_planned_for_the_flow_alone(load: Callable[..., Job]) -> None:
    job = load(f"{PAIRED}\n{MIXED}\nevaluate: [{{kind: likelihood}}, {{kind: sharpness}}]")
    assert len(job.trials) == 2
    dues = find_due(job.trials, job.header.evaluate, ())
    assert sorted((due.evaluation.kind, due.trial.settings.objective.kind) for due in dues) == [
        ("likelihood", "likelihood"),
        ("sharpness", "likelihood"),
        ("sharpness", "non_saturating"),
    ]
