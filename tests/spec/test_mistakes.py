"""Each mistake in a job file gives one line: file, key, value, what is allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS = "allowed: autoencoding, dcgan, encoder_decoder, fully_connected, glow, mixed_layers, residual, small_dcgan"
TOP = (
    "allowed: name, description, tags, note, resources, search, evaluate, claims, storage, data, model, objective, "
    "training, grid"
)
TAG = "expected 1 to 40 of a-z, A-Z, 0-9, _.:/ and -, the first a letter or digit"
TRAINING = (
    "allowed: epochs, batch_size, d_steps, g_steps, g_optimizer, d_optimizer, schedule, noise_epochs, augmentation, "
    "unrolled_steps, g_ema, seed, log_every, samples_every, checkpoint_every, measure_every, measure_samples, "
    "stop_when, patience, max_minutes, accumulate, precision"
)
OBJECTIVES = (
    "allowed: autoencoder, began, ebgan, glo, hinge, least_squares, likelihood, non_saturating, ralsgan, rasgan, "
    "rsgan, saturating, wae_adversarial, wae_mmd, wae_moments, wgan_gp"
)
NAMES = "expected 1 to 63 of a-z, 0-9, _ and -, the first a letter or digit"
SEARCH = "search: {scheduler: asha, measure: d_loss, mode: min"

MISTAKES = {
    # a key that does not exist, at every level
    "storag: here": f"storag: unknown key; did you mean 'storage'? {TOP}",
    "notes: []": f"notes: unknown key; did you mean 'note'? {TOP}",
    "training: {epoch: 3}": f"training.epoch: unknown key; did you mean 'epochs'? {TRAINING}",
    "training: {g_optimizer: {lrr: 0.1}}": (
        "training.g_optimizer.lrr: unknown key; did you mean 'lr'? allowed: kind, lr, betas, eps, momentum"
    ),
    "data: {name: digits, image_siz: 28}": (
        "data.image_siz: unknown key; did you mean 'image_size'? allowed: name, max_images, image_size"
    ),
    "data: {name: image_folder, roott: x}": (
        "data.roott: unknown key; did you mean 'root'? allowed: name, max_images, root, height, width, channels, cache"
    ),
    "model: {kind: small_dcgan, width: 8}": (
        "model.width: unknown key; allowed: kind, latent_dim, batch_norm, initialization, discriminator_norm, "
        "spectral_norm, dropout, instance_noise, feature_noise"
    ),
    "objective: {kind: saturating, gamma: 0.5}": (
        "objective.gamma: unknown key; allowed: kind, feature_matching, r1, r2, labels"
    ),
    "resources: {gpus: 1}": (
        "resources.gpus: unknown key; allowed: workers, cpus_per_worker, gpus_per_worker, max_concurrent, max_retries, "
        "max_hours, slurm"
    ),
    f"{SEARCH}, grace: 2}}": (
        "search.grace: unknown key; "
        "allowed: algorithm, trials, scheduler, measure, mode, grace_epochs, reduction_factor"
    ),
    # the wrong type
    "training: {g_optimizer: {lr: fast}}": "training.g_optimizer.lr: got 'fast', expected a number",
    "training: {batch_size: '12'}": "training.batch_size: got '12', expected a whole number",
    "training: {batch_size: 12.5}": "training.batch_size: got 12.5, expected a whole number",
    "training: {batch_size: true}": "training.batch_size: got true, expected a whole number",
    "training: {stop_when: [collapsed]}": (
        "training: measure_every: got 0 with stop_when: [collapsed], expected at least 1: samples tell of a collapse"
    ),
    "training: {max_minutes: 0}": "training.max_minutes: got 0, expected a number > 0.0",
    "resources: {max_hours: 0}": "resources.max_hours: got 0, expected a number > 0.0",
    "resources: {max_hours: -1}": "resources.max_hours: got -1, expected a number > 0.0",
    "resources: {max_hours: 8:00}": "resources.max_hours: got '8:00', expected a number",
    "training: {stop_when: [no_improvement]}": (
        "training: measure_every: got 0 with stop_when: [no_improvement], expected at least 1: fid is measured of "
        "samples"
    ),
    "training: {patience: {epochs: 3}}": (
        "training: patience: has no effect without stop_when: [no_improvement]; take it out, or add that"
    ),
    "training: {stop_when: [no_improvement], patience: {epochs: 0}}": (
        "training.patience.epochs: got 0, expected a number >= 1"
    ),
    "training: {stop_when: [no_improvement], patience: {measure: diversity}}": (
        "training.patience.measure: got 'diversity', expected one of m_global, reconstruction, bits_per_dimension, "
        "fid, modes, class_kl, latent_ks, latent_ks_each"
    ),
    "training: {stop_when: [no_improvement], patience: {measure: m_global}}": (
        "training.patience.measure: got 'm_global', which a trial under non_saturating does not have; expected one of "
        "samples or of d_loss, g_loss, d_real, d_fake, d_real_probability, d_fake_probability, g_score_gradient, "
        "g_image_gradient, g_grad_norm"
    ),
    "training: {stop_when: [no_improvement], measure_every: 1, patience: {measure: latent_ks}}": (
        "training.patience.measure: got 'latent_ks', but no trial under non_saturating has codes"
    ),
    "training: {stop_when: [no_improvement], measure_every: 1}\ndata: {name: celeba}": (
        "training.patience.measure: got 'fid', which needs a data set with classes; celeba has none"
    ),
    "data: {name: digits, max_images: 100}\ntraining: {stop_when: [no_improvement], measure_every: 1, batch_size: 9}": (
        "training.patience.measure: got 'fid', which takes 129 training images or more, not 100"
    ),
    "training: {stop_when: [bored]}": (
        "training.stop_when.0: got 'bored', expected 'saturated', 'collapsed', 'diverged' or 'no_improvement'"
    ),
    "training: {measure_every: 1, measure_samples: 10}": ("training.measure_samples: got 10, expected a number >= 200"),
    "training: {epochs: null}": "training.epochs: got null, expected a whole number",
    "training: {epochs: [1, 2]}": "training.epochs: got [1, 2], expected a whole number",
    "training: {epochs: {a: b}}": 'training.epochs: got {"a": "b"}, expected a whole number',
    "training: [epochs]": 'training: got ["epochs"], expected keys and values',
    "training:": "training: got null, expected keys and values",
    "objective: saturating": "objective: got 'saturating', expected keys and values",
    "resources: 3": "resources: got 3, expected keys and values",
    "description: 3": "description: got 3, expected text",
    "tags: paper": "tags: got 'paper', expected a list",
    "tags: [two words]": f"tags.0: got 'two words', {TAG}",
    f"tags: [{'x' * 41}]": f"tags.0: got '{'x' * 41}', {TAG}",
    "note: [x]": 'note: got ["x"], expected text',
    "storage: [results]": 'storage: got ["results"], expected text',
    "data: {name: mnist, download: yes}": "data.download: got 'yes', expected true or false",
    "training: {g_optimizer: {betas: 0.5}}": "training.g_optimizer.betas: got 0.5, expected a list",
    "training: {g_optimizer: {betas: [0.5]}}": "training.g_optimizer.betas.1: is missing",
    "training: {g_optimizer: {betas: [0.5, 0.9, 1]}}": (
        "training.g_optimizer.betas: got [0.5, 0.9, 1], expected a list of 2 values"
    ),
    "training: {g_optimizer: {betas: [0.5, x]}}": "training.g_optimizer.betas.1: got 'x', expected a number",
    # kinds that do not exist
    "objective: {kind: non_satur}": f"objective.kind: got 'non_satur'; did you mean 'non_saturating'? {OBJECTIVES}",
    "objective: {kind: infogan}": f"objective.kind: got 'infogan'; {OBJECTIVES}",
    "objective: {kind: [1]}": f"objective.kind: got [1]; {OBJECTIVES}",
    "objective: {}": f"objective.kind: is missing; {OBJECTIVES}",
    "model: {kind: dcgn}": f"model.kind: got 'dcgn'; did you mean 'dcgan'? {MODELS}",
    "data: {name: mnits}": (
        "data.name: got 'mnits'; did you mean 'mnist'? allowed: celeba, digits, fashion_mnist, "
        "image_folder, mnist, procedural_fish"
    ),
    "training: {g_optimizer: {kind: lion}}": "training.g_optimizer.kind: got 'lion', expected 'adam' or 'sgd'",
    "training: {g_optimizer: {momentum: 0.9}}": (
        "training.g_optimizer: momentum: adam has none; take it out, or choose another kind"
    ),
    "objective: {kind: began}": (
        "objective: began needs a discriminator that is an autoencoder; choose another model.kind"
    ),
    "objective: {kind: began, gamma: 1.5}": "objective.gamma: got 1.5, expected a number <= 1.0",
    "objective: {kind: began, lambda_k: 0.0}": "objective.lambda_k: got 0.0, expected a number > 0.0",
    "objective: {kind: ebgan}": "objective.margin: is missing",
    "objective: {kind: ebgan, margin: 0}": "objective.margin: got 0, expected a number > 0.0",
    "objective: {kind: wgan_gp}": (
        "objective: wgan_gp with a gradient penalty needs scores that do not depend on the other images of a batch; "
        "set model.discriminator_norm to layer or none"
    ),
    "objective: {kind: non_saturating, labels: {real: 1.5}}": (
        "objective.labels: got real [1.5, 1.5], expected probabilities from 0 to 1"
    ),
    "search: {scheduler: ash, measure: d_loss, mode: min}": "search.scheduler: got 'ash', expected 'asha' or 'median'",
    "search: {scheduler: asha, measure: fidd, mode: min}": (
        "search.measure: got 'fidd', expected one of d_loss, g_loss, d_real, d_fake, d_real_probability, "
        "d_fake_probability, g_score_gradient, g_image_gradient, g_grad_norm, d_penalty, k, m_global, loss_ratio, "
        "reconstruction, latent_penalty, penalty_weight, bits_per_dimension, fid, modes, class_kl, diversity, "
        "latent_ks, latent_ks_each"
    ),
    "search: {scheduler: asha, measure: m_global, mode: min}": (
        "search.measure: got 'm_global', which a trial under non_saturating does not have; expected one of d_loss, "
        "g_loss, d_real, d_fake, d_real_probability, d_fake_probability, g_score_gradient, g_image_gradient, "
        "g_grad_norm"
    ),
    # what is not there
    "-objective": (
        f"objective: is missing, expected kind: {OBJECTIVES.removeprefix('allowed: ').replace(', ', ' | ')}"
    ),
    "-model": f"model: is missing, expected kind: {MODELS.removeprefix('allowed: ').replace(', ', ' | ')}",
    "-data": (
        "data: is missing, expected name: celeba | digits | fashion_mnist | image_folder | mnist | procedural_fish"
    ),
    "-name": "name: is missing",
    "data: {name: image_folder}": "data.root: is missing",
    "search: {scheduler: asha, measure: d_loss}": "search.mode: is missing",
    # numbers out of range
    "training: {g_optimizer: {lr: -1}}": "training.g_optimizer.lr: got -1, expected a number > 0.0",
    "training: {d_optimizer: {lr: 0}}": "training.d_optimizer.lr: got 0, expected a number > 0.0",
    "training: {d_optimizer: {lr: .nan}}": "training.d_optimizer.lr: got nan, expected a finite number",
    "training: {d_optimizer: {lr: .inf}}": "training.d_optimizer.lr: got inf, expected a finite number",
    "training: {d_optimizer: {lr: 1e400}}": "training.d_optimizer.lr: got inf, expected a finite number",
    "training: {g_optimizer: {betas: [0.5, 1.0]}}": "training.g_optimizer.betas.1: got 1.0, expected a number < 1.0",
    "training: {batch_size: 0}": "training.batch_size: got 0, expected a number >= 2",
    "training: {epochs: 0}": "training.epochs: got 0, expected a number >= 1",
    "training: {d_steps: -1}": "training.d_steps: got -1, expected a number >= 1",
    "training: {seed: 4294967296}": "training.seed: got 4294967296, expected a number < 4294967296",
    "training: {seed: -1}": "training.seed: got -1, expected a number >= 0",
    "data: {name: digits, image_size: 30}": "data.image_size: got 30, expected 28 or 32",
    "data: {name: image_folder, root: x, height: 7}": "data.height: got 7, expected a number >= 8",
    "evaluate: [{kind: inversion}, {kind: quality}, {kind: inversion, batch: 64}]": (
        "evaluate.2: is the same as evaluate.0; take one out"
    ),
    "resources: {workers: 0}": "resources.workers: got 0, expected a number >= 1",
    "resources: {workers: 2, gpus_per_worker: 0.5}": (
        "resources: gpus_per_worker: got 0.5 with 2 workers, expected 0 or 1: "
        "processes that train one trial together cannot share a GPU"
    ),
    "resources: {workers: 3}\ntraining: {batch_size: 128}": (
        "training.batch_size: got 128, which 3 workers cannot share equally; the nearest that they can: 126 or 129"
    ),
    "resources: {workers: 2}\ntraining: {batch_size: 12, accumulate: 4}": (
        "training.batch_size: got 12, which 2 workers in 4 parts each cannot share equally; "
        "the nearest that they can: 8 or 16"
    ),
    "resources: {workers: 4}\ntraining: {batch_size: 2}": (
        "training.batch_size: got 2, which 4 workers cannot share equally; the nearest that they can: 4"
    ),
    "model: {kind: fully_connected}\ntraining: {batch_size: 16, accumulate: 16}": (
        "training.batch_size: got 16, of which a pass has 1 image (workers 1, accumulate 16), expected at least 32: "
        "a norm of fully_connected takes 2 images; raise it, lower accumulate, or choose other norms "
        "(model.batch_norm, model.discriminator_norm)"
    ),
    "model: {kind: mixed_layers, batch_norm: per_device}\nresources: {workers: 2}\ntraining: {batch_size: 2}": (
        "training.batch_size: got 2, of which a pass has 1 image (workers 2, accumulate 1), expected at least 4: "
        "a norm of mixed_layers takes 2 images; raise it, lower accumulate, or choose other norms "
        "(model.batch_norm, model.discriminator_norm)"
    ),
    "grid: {resources.workers: [1, 2]}": (
        "grid.resources.workers: 1 and 2 devices train the same trial; vary a setting with it"
    ),
    "grid: {resources.workers: [0]}": "grid.resources.workers: got 0, expected a number >= 1",
    "grid: {resources.max_retries: [0]}": (
        "grid.resources.max_retries: is no path of a setting; allowed: data, model, objective, training; "
        "or a name for a list of {path: value, ...}"
    ),
    "resources: {gpus_per_worker: 2}": "resources.gpus_per_worker: got 2, expected a number <= 1.0",
    "resources: {max_concurrent: 0}": "resources.max_concurrent: got 0, expected a number >= 1",
    # names
    "name: ../study": f"name: got '../study', {NAMES}",
    "name: a/b": f"name: got 'a/b', {NAMES}",
    "name: Study": f"name: got 'Study', {NAMES}",
    "name: ''": f"name: got '', {NAMES}",
    "name: -a": f"name: got '-a', {NAMES}",
    f"name: {'a' * 64}": f"name: got '{'a' * 56}..., {NAMES}",
    r'name: "a\n"': rf"name: got 'a\n', {NAMES}",
    "name: 5": "name: got 5, expected text",
    "storage: ''": "storage: got '', expected at least 1 character",
    # settings that cannot go together
    "data: {name: image_folder, root: x, height: 64, width: 12}\nmodel: {kind: dcgan, depth: 4}": (
        "model: dcgan at depth 4 takes images of at least 17x17, the data's are 64x12"
    ),
    "data: {name: digits, image_size: 32}\nmodel: {kind: small_dcgan}": (
        "model: small_dcgan makes 28x28 images, the data's are 32x32"
    ),
    "training: {epochs: 3}\n" + SEARCH + ", grace_epochs: 4}": (
        "search.grace_epochs: got 4, but a trial trains for 3 epochs only"
    ),
    "grid: {training.epochs: [9, 3]}\n" + SEARCH + ", grace_epochs: 4}": (
        "search.grace_epochs: got 4, but a trial trains for 3 epochs only"
    ),
    # the grid
    "grid: {}": "grid: is empty, expected paths with lists of values; leave it out for one trial",
    "grid:": "grid: got null, expected paths with lists of values",
    "grid: [training.seed]": 'grid: got ["training.seed"], expected paths with lists of values',
    "grid: {training.seed: []}": "grid.training.seed: got [], expected a list with at least one value",
    "grid: {training.seed: 3}": "grid.training.seed: got 3, expected a list with at least one value",
    "grid: {training.seed: [0, one]}": "grid.training.seed: got 'one', expected a whole number",
    "grid: {training.sed: [0]}": f"grid.training.sed: unknown key; did you mean 'seed'? {TRAINING}",
    "grid: {trainig.seed: [0]}": (
        "grid.trainig.seed: is no path of a setting; did you mean 'training'? allowed: data, model, objective, "
        "training; or a name for a list of {path: value, ...}"
    ),
    "grid: {objective.kind: [saturating, infogan]}": f"grid.objective.kind: got 'infogan'; {OBJECTIVES}",
    "grid: {objective: [saturating]}": "grid.objective: got 'saturating', expected keys and values",
    "grid: {rates: [{training.g_optimizer.lr: fast}]}": (
        "grid.rates: training.g_optimizer.lr: got 'fast', expected a number"
    ),
    "grid: {rates: [{storage: here}]}": (
        "grid.rates: storage: cannot be varied; allowed: data, model, objective, training"
    ),
    "grid: {rates: [{training.seed: 1, training: {epochs: 1}}]}": (
        "grid.rates: training: is set by training.seed in the same entry too"
    ),
    "grid: {training.seed: [1], seeds: [{training.seed: 2}]}": (
        "grid.seeds: sets training.seed, which grid.training.seed sets too"
    ),
    "grid: {training.seed: [1], training: [{epochs: 2}]}": (
        "grid.training: sets training, which grid.training.seed sets too"
    ),
    "objective: saturating\ngrid: {objective.kind: [saturating]}": (
        "objective.kind: cannot be set: objective is 'saturating', expected keys and values"
    ),
    "training: {seed: 0}\ngrid: {training.seed.x: [1]}": (
        "training.seed.x: cannot be set: training.seed is 0, expected keys and values"
    ),
    "grid: {training.seed: [1, 2], training.epochs: [1, 2]}\nmodel: {kind: x}": (f"model.kind: got 'x'; {MODELS}"),
    # evaluations
    "evaluate: {kind: quality}": 'evaluate: got {"kind": "quality"}, expected a list',
    "evaluate: [quality]": "evaluate.0: got 'quality', expected keys and values",
    "evaluate: [{kind: quality, samples: 0}]": "evaluate.0.samples: got 0, expected a number >= 200",
    "evaluate: [{kind: quality, truncation: [1.0, 0.0]}]": "evaluate.0.truncation.1: got 0.0, expected a number > 0.0",
    "evaluate: [{kind: quality, truncation: 0.5}]": "evaluate.0.truncation: got 0.5, expected a list",
    "evaluate: [{kind: quality}, {kind: quality, seed: 0}]": "evaluate.1: is the same as evaluate.0; take one out",
    "evaluate: [{kind: quality}]\ndata: {name: celeba}": (
        "evaluate.0: quality needs a data set with classes, from which features are learned; celeba has none; "
        "set features: inception"
    ),
    "evaluate: [{kind: restoration, corruptions: []}]": (
        "evaluate.0.corruptions: got [], expected a list of 1 value or more"
    ),
    "evaluate: [{kind: restoration, norms: [l1, l2, l1]}]": "evaluate.0.norms: got l1 twice; take one out",
    "evaluate: [{kind: restoration, norms: [l3]}]": "evaluate.0.norms.0: got 'l3', expected 'l1', 'l2' or 'huber'",
    "evaluate: [{kind: restoration, masks: []}]": "evaluate.0.masks: got [], expected a list of 1 value or more",
    "evaluate: [{kind: restoration, restarts: 0}]": "evaluate.0.restarts: got 0, expected a number >= 1",
    "evaluate: [{kind: restoration, corruptions: [{kind: hole}]}]": (
        "evaluate.0.corruptions.0.kind: got 'hole'; did you mean 'holes'? allowed: gaussian_noise, holes, square, "
        "pepper, crosswalk"
    ),
    "evaluate: [{kind: restoration, corruptions: [{kind: holes, sise: 3}]}]": (
        "evaluate.0.corruptions.0.sise: unknown key; did you mean 'size'? allowed: kind, number, size, fill"
    ),
    "evaluate: [{kind: restoration, corruptions: [{kind: holes}, {kind: holes, number: 3}]}]": (
        "evaluate.0.corruptions: got holes_grey twice; take one out"
    ),
    "evaluate: [{kind: restoration, corruptions: [{kind: holes, size: 40}]}]": (
        "evaluate.0: corruptions: holes: 40x40 pixels do not fit into images of 28x28; lower size to 28 or less"
    ),
    "evaluate: [{kind: inversion, restarts: 0}]": "evaluate.0.restarts: got 0, expected a number >= 1",
    "evaluate: [{kind: inversion, images: 0}]": "evaluate.0.images: got 0, expected a number >= 1",
    "evaluate: [{kind: inversion, optimizer: lbfgs, lr: 0.1}]": (
        "evaluate.0: lr: lbfgs finds its own step length; take it out, or choose another optimizer"
    ),
    "evaluate: [{kind: encoder_inversion, encoder: {latent_weight: 0.0, image_weight: 0.0}}]": (
        "evaluate.0.encoder: latent_weight and image_weight are both 0; raise one of them"
    ),
    "evaluate: [{kind: interpolation, pairs: 0}]": "evaluate.0.pairs: got 0, expected a number >= 1",
    "evaluate: [{kind: interpolation}]\ndata: {name: celeba}": (
        "evaluate.0: interpolation needs a data set with classes, from which features are learned; celeba has none"
    ),
    # what would break a line or a terminal
    r'training: {seed: "[red]a\nb\x1b[31m"}': r"training.seed: got '[red]a\nb\x1b[31m', expected a whole number",
    r'training: {"a\nb\e": 1}': rf"training.a\nb\x1b: unknown key; {TRAINING}",
    r'"[bold]\r": 1': rf"[bold]\r: unknown key; {TOP}",
    r'training: {seed: "\u202e"}': r"training.seed: got '\u202e', expected a whole number",
    r'description: "\ud800"': r"description: got '\ud800', expected text",
    # what is too long for a line
    f"training: {{seed: {'x' * 58}}}": f"training.seed: got '{'x' * 58}', expected a whole number",
    f"training: {{seed: {'x' * 59}}}": f"training.seed: got '{'x' * 56}..., expected a whole number",
    f"training: {{seed: {'x' * 5000}}}": f"training.seed: got '{'x' * 56}..., expected a whole number",
    f"description: {'x' * 2001}": f"description: got '{'x' * 56}..., expected at most 2000 characters",
    f"? {'x' * 5000}\n: 1": f"{'x' * 197}...: unknown key; {TOP}",
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.items(), ids=[text[:60] for text in MISTAKES])
def test_a_mistake_is_one_line(mistake: Callable[..., str], text: str, message: str) -> None:
    assert mistake(text) == f"job.yaml: {message}"


def test_a_grid_that_is_too_large_is_refused_before_it_is_made(mistake: Callable[..., str]) -> None:
    axes = ", ".join(f"training.{key}: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]" for key in ("seed", "epochs", "d_steps"))
    rest = ", ".join(f"model.x{i}: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]" for i in range(20))
    assert mistake(f"grid: {{{axes}, {rest}}}") == (
        "job.yaml: grid: has 100,000,000,000,000,000,000,000 cells, expected at most 100,000"
    )
