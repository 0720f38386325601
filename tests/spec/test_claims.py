"""Claims of a job file: each mistake is one line, what fits the job is kept as it stands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.evaluations.quality.settings import Quality
from orchestrator.spec.claims import ENDS, Scale, allows, find_measure, members_of, selects, sides_of
from orchestrator.spec.job import Job, make_job
from orchestrator.spec.yaml_file import dump_yaml, parse_yaml

if TYPE_CHECKING:
    from collections.abc import Callable

STUDY = """\
training: {measure_every: 1}
objective: {kind: saturating}
grid: {objective.kind: [saturating, non_saturating], training.d_steps: [1, 2], training.seed: [0, 1]}
evaluate: [{kind: quality, samples: 1000, truncation: [0.5]}]
"""
GROUP, THAN = "{objective.kind: saturating}", "{objective.kind: non_saturating}"


def claim(measure: str = "fid", group: str = GROUP, than: str = THAN, more: str = "", better: str = "lower") -> str:
    """As YAML; an empty ``better`` or ``than`` leaves the key out."""
    keys = {"measure": measure, "better": better, "group": group, "than": than}
    told = ", ".join(f"{key}: {value}" for key, value in keys.items() if value)
    return f"{{id: A, says: x, {told}{more}}}"


PATHS = "expected a dotted path, as in trials/ ('orch results --schema' has all)"
QUALITY = (
    "allowed: quality.truncation, quality.samples, quality.real, quality.inception_score, quality.fid, quality.kid, "
    "quality.precision, quality.recall, quality.density, quality.coverage, quality.modes, quality.class_kl, "
    "quality.diversity, quality.fid_low, quality.fid_high, quality.kid_low, quality.kid_high, quality.precision_low, "
    "quality.precision_high, quality.recall_low, quality.recall_high, quality.fid_infinity, "
    "quality.inception_score_mean, quality.inception_score_sd, quality.held_out, quality.fid_held_out, "
    "quality.kid_held_out, quality.copying, quality.copying_score"
)
ROWS = (
    "or of the rows of quality: evaluation.kind, evaluation.checkpoint, evaluation.seed, evaluation.samples, "
    "evaluation.features, evaluation.truncation, evaluation.statistics, evaluation.resize, evaluation.real_images, "
    "truncation, samples, real, features, inception_score, fid, kid, precision, recall, density, coverage, modes, "
    "class_kl, diversity, fid_low, fid_high, kid_low, kid_high, precision_low, precision_high, recall_low, "
    "recall_high, fid_infinity, inception_score_mean, inception_score_sd, held_out, fid_held_out, kid_held_out, "
    "copying, copying_score, statistics, averaged, dtype"
)
MISTAKES = {
    # its form
    "{id: A}": 'claims: got {"id": "A"}, expected a list',
    "[fid]": "claims.0: got 'fid', expected keys and values",
    "[{id: A}]": "claims.0.says: is missing",
    f"[{claim(more=', byy: 1')}]": (
        "claims.0.byy: unknown key; did you mean 'by'? allowed: id, says, source, measure, unit, better, group, than, "
        "than_value, each, by, factor, within, than_measure"
    ),
    f"[{claim(more=', by: -1')}]": "claims.0.by: got -1, expected a number >= 0.0",
    f"[{claim(more=', factor: 0.5')}]": "claims.0.factor: got 0.5, expected a number >= 1.0",
    f"[{claim(more=', by: 1, factor: 2')}]": (
        "claims.0.factor: stands beside by; a claim is of a difference or of a ratio, take one out"
    ),
    f"[{claim('saturated', more=', factor: 2')}]": (
        "claims.0.factor: saturated is yes or no; take by, a difference of shares of the seeds"
    ),
    f"[{claim(better='larger')}]": "claims.0.better: got 'larger', expected 'lower' or 'higher'",
    f"[{claim().replace('id: A', 'id: a b')}]": (
        "claims.0.id: got 'a b', expected 1 to 40 letters, digits, _, . and -, the first a letter or digit"
    ),
    f"[{claim()}, {claim()}]": "claims.1.id: got 'A', which claims.0 has",
    f"[{claim(group='[1]')}]": "claims.0.group: got [1], expected settings with their values",
    f"[{claim(group='{training.seed: []}')}]": (
        "claims.0.group: training.seed: got [], expected a value or a list with at least one"
    ),
    f"[{claim(group='{training.seed: {a: 1}}')}]": (
        'claims.0.group: training.seed: got {"a": 1}, expected text, a finite number, true, false or null'
    ),
    # measures
    f"[{claim('fidd')}]": (
        "claims.0.measure: got 'fidd'; did you mean 'fid'? allowed: saturated, collapsed, diverged, epoch, d_loss, "
        "g_loss, d_real, d_fake, d_real_probability, d_fake_probability, g_score_gradient, g_image_gradient, "
        "g_grad_norm, d_penalty, k, m_global, loss_ratio, reconstruction, latent_penalty, penalty_weight, "
        "bits_per_dimension, fid, modes, class_kl, diversity, latent_ks, latent_ks_each, best_fid, images_per_second, "
        "train_s, "
        "encoder_inversion.<column>, interpolation.<column>, inversion.<column>, likelihood.<column>, "
        "quality.<column>, reconstruction.<column>, restoration.<column>, sharpness.<column>"
    ),
    f"[{claim('quality.coverag')}]": (
        f"claims.0.measure: got 'quality.coverag'; did you mean 'quality.coverage'? {QUALITY}"
    ),
    f"[{claim('quality.features')}]": (
        f"claims.0.measure: got 'quality.features'; did you mean 'quality.real'? {QUALITY}"
    ),
    f"[{claim('m_global')}]": "claims.0.measure: got 'm_global', which a trial under saturating does not have",
    f"[{claim()}]\ntraining: {{measure_every: 0}}": (
        "claims.0.measure: got 'fid', which is measured of samples: set training.measure_every"
    ),
    f"[{claim('collapsed')}]\ntraining: {{measure_every: 0}}": (
        "claims.0.measure: got 'collapsed', which is measured of samples: set training.measure_every"
    ),
    f"[{claim('modes')}]\ndata: {{name: celeba}}\nevaluate: []": (
        "claims.0.measure: got 'modes', which needs a data set with classes; celeba has none"
    ),
    f"[{claim('inversion.class_kept')}]\ndata: {{name: celeba}}\nevaluate: [{{kind: inversion}}]": (
        "claims.0.measure: got 'inversion.class_kept', which needs a data set with classes; celeba has none"
    ),
    f"[{claim('quality.fid')}]\nevaluate: []": (
        "claims.0.group: needs an evaluation of kind quality, which evaluate does not have"
    ),
    # measures of two kinds
    f"[{claim(more=', than_measure: fidd')}]": (
        "claims.0.than_measure: got 'fidd'; did you mean 'fid'? allowed: saturated, collapsed, diverged, epoch, "
        "d_loss, g_loss, d_real, d_fake, d_real_probability, d_fake_probability, g_score_gradient, g_image_gradient, "
        "g_grad_norm, d_penalty, k, m_global, loss_ratio, reconstruction, latent_penalty, penalty_weight, "
        "bits_per_dimension, fid, modes, class_kl, diversity, latent_ks, latent_ks_each, best_fid, "
        "images_per_second, train_s, encoder_inversion.<column>, interpolation.<column>, inversion.<column>, "
        "likelihood.<column>, quality.<column>, reconstruction.<column>, restoration.<column>, sharpness.<column>"
    ),
    f"[{claim(more=', than_measure: fid')}]": ("claims.0.than_measure: got 'fid', which measure is; take it out"),
    f"[{claim('quality.fid', more=', than_measure: fid')}]": (
        "claims.0.than_measure: got 'fid', expected a column of quality, as quality.fid is"
    ),
    f"[{claim(more=', than_measure: quality.fid')}]": (
        "claims.0.than_measure: got 'quality.fid', expected a measure of trials/, as fid is"
    ),
    f"[{claim(more=', than_measure: class_kl')}]": (
        "claims.0.than_measure: got 'class_kl', whose unit is nats, but that of fid is none"
    ),
    f"[{claim(more=', than_measure: m_global')}]": (
        "claims.0.than_measure: got 'm_global', which a trial under non_saturating does not have"
    ),
    # what a claim compares with, and how
    f"[{claim(than='')}]": "claims.0.than: is missing; name the trials to compare with, or a constant as than_value",
    f"[{claim(more=', than_value: 3')}]": (
        "claims.0.than: stands beside than_value, the one number that group is compared with; take one out"
    ),
    f"[{claim(than='', more=', than_value: 3, factor: 2')}]": (
        "claims.0.factor: stands beside than_value, the one number that group is compared with; take one out"
    ),
    f"[{claim(than='', more=', than_value: .inf')}]": "claims.0.than_value: got inf, expected a finite number",
    f"[{claim(than='', more=', than_value: true')}]": "claims.0.than_value: got true, expected a number",
    f"[{claim(than='', more=', than_value: null')}]": (
        "claims.0.than_value: got null, expected a value; give one or take the key out"
    ),
    f"[{claim('class_kl', than='', more=', than_value: 1')}]": (
        "claims.0.unit: is missing: than_value is compared with class_kl, whose unit is nats"
    ),
    f"[{claim('class_kl', than='', more=', than_value: 1, unit: bits')}]": (
        "claims.0.unit: got 'bits', but that of class_kl is nats"
    ),
    f"[{claim('fid', than='', more=', than_value: 1, unit: bits')}]": "claims.0.unit: got 'bits', but fid has none",
    f"[{claim('class_kl', more=', unit: nats')}]": (
        "claims.0.unit: got 'nats', but no number of this claim has a unit; take it out"
    ),
    f"[{claim('saturated', than='', more=', than_value: 30')}]": (
        "claims.0.than_value: got 30, expected a share of the seeds in [0, 1]"
    ),
    f"[{claim(better='')}]": (
        "claims.0.better: is missing, expected 'lower' or 'higher', or within: the difference that both stay within"
    ),
    f"[{claim(more=', within: 3')}]": (
        "claims.0.better: stands beside within, which claims that neither is better by its bound; take one out"
    ),
    f"[{claim(better='', more=', within: 3, by: 1')}]": (
        "claims.0.by: stands beside within, which claims that neither is better by its bound; take one out"
    ),
    f"[{claim(better='', more=', within: null')}]": (
        "claims.0.within: got null, expected a value; give one or take the key out"
    ),
    f"[{claim(better='', more=', within: 0')}]": "claims.0.within: got 0, expected a number > 0.0",
    f"[{claim(better='', more=', within: .inf')}]": "claims.0.within: got inf, expected a finite number",
    f"[{claim('saturated', better='', more=', within: 1')}]": (
        "claims.0.within: got 1, expected a difference of shares of the seeds, below 1"
    ),
    f"[{claim(more=', each: {training.d_steps: [1]}')}]": (
        "claims.0.each: training.d_steps: got [1], expected one setting with a list of two values or more; a claim "
        "about one value names it in group or than"
    ),
    f"[{claim(more=', each: {training.d_steps: [1, 2], training.seed: [0, 1]}')}]": (
        'claims.0.each: got {"training.d_steps": [1, 2], "training.seed": [0, 1]}, expected one setting with a list of '
        "two values or more"
    ),
    f"[{claim(more=', each: {training.d_steps: [1, 1]}')}]": (
        "claims.0.each: training.d_steps: got 1 twice; take one out"
    ),
    f"[{claim(more=', each: {training.d_steps: [1, x]}')}]": (
        "claims.0.each.training.d_steps: got 'x', expected a whole number"
    ),
    f"[{claim(more=', each: {training.d_steps: [1, 3]}')}]": (
        'claims.0.each.training.d_steps: got {"objective.kind": "saturating", "training.d_steps": 3}, which is no '
        "trial of this job"
    ),
    f"[{claim(more=', each: {objective.kind: [saturating, hinge]}')}]": (
        "claims.0.each.objective.kind: is set in group and than too; take it out of the side whose trials it is to vary"
    ),
    f"[{claim(than='{}', more=', each: {objective.kind: [non_saturating, saturating]}')}]": (
        'claims.0.each.objective.kind: got {"objective.kind": "saturating"}, but 4 trials are in both groups; name '
        "what tells them apart"
    ),
    f"[{claim(more=', source: [a]')}]": 'claims.0.source: got ["a"], expected text',
    f"[{claim(more=', source: null')}]": "claims.0.source: got null, expected a value; give one or take the key out",
    f"[{claim(more=', source: ' + 601 * 'x')}]": (
        f"claims.0.source: got '{56 * 'x'}..., expected at most 600 characters"
    ),
    # groups
    f"[{claim(group='{training.sed: 1}')}]": (
        f"claims.0.group.training.sed: unknown setting; did you mean 'training.seed'? {PATHS}"
    ),
    f"[{claim(group='{truncation: 0.5}')}]": f"claims.0.group.truncation: unknown setting; {PATHS}",
    f"[{claim('quality.fid', than='{truncatio: 0.5}')}]": (
        f"claims.0.than.truncatio: unknown setting; did you mean 'truncation'? {PATHS}, {ROWS}"
    ),
    f"[{claim(group='{training.g_optimizer.betas: 0.5}')}]": (
        "claims.0.group.training.g_optimizer.betas: got 0.5, expected a list of numbers within a list, as in [[0.5, 1]]"
    ),
    f"[{claim(group='{objective.labels.real: [[1, x]]}')}]": (
        'claims.0.group.objective.labels.real: got [1, "x"], expected a list of numbers within a list, as in [[0.5, 1]]'
    ),
    f"[{claim(group='{model.generator_widths: [[]]}')}]": (
        "claims.0.group: model.generator_widths: got [], expected text, a finite number, true, false or null"
    ),
    f"[{claim(group='{training.seed: one}')}]": "claims.0.group.training.seed: got 'one', expected a whole number",
    f"[{claim(group='{training.seed: true}')}]": "claims.0.group.training.seed: got true, expected a whole number",
    f"[{claim(group='{training.seed: [0, 1.5]}')}]": "claims.0.group.training.seed: got 1.5, expected a whole number",
    f"[{claim(group='{objective.kind: 3}')}]": "claims.0.group.objective.kind: got 3, expected text",
    f"[{claim(group='{objective.kind: wgan_gp}')}]": (
        'claims.0.group: got {"objective.kind": "wgan_gp"}, which is no trial of this job'
    ),
    f"[{claim(than='{training.seed: [0, 9], training.d_steps: 7}')}]": (
        'claims.0.than: got {"training.seed": [0, 9], "training.d_steps": 7}, which is no trial of this job'
    ),
    f"[{claim(than='{objective.kind: [saturating, non_saturating], training.seed: 1}')}]": (
        'claims.0.than: got {"objective.kind": ["saturating", "non_saturating"], "tra..., but 2 trials are in both '
        "groups; name what tells them apart"
    ),
    f"[{claim(group='{}', than='{}')}]": (
        "claims.0.than: got {}, but 8 trials are in both groups; name what tells them apart"
    ),
    f"[{claim('quality.fid', group='{truncation: 0.25}', than='{truncation: null}')}]": (
        "claims.0.group.truncation: got 0.25, expected one of null, 0.5"
    ),
    f"[{claim('inversion.mse', group='{chosen: true}', than='{restart: 5}')}]\nevaluate: [{{kind: inversion}}]": (
        "claims.0.than.restart: got 5, expected one of 0, 1, 2, 3, 4"
    ),
    f"[{claim('inversion.mse', group='{chosen: 1}', than='{restart: 0}')}]\nevaluate: [{{kind: inversion}}]": (
        "claims.0.group.chosen: got 1, expected true or false"
    ),
    f"[{claim('quality.fid', group='{evaluation.samples: 500}', than='{}')}]": (
        'claims.0.group: got {"evaluation.samples": 500}, which is no quality under evaluate'
    ),
    f"[{claim('quality.fid', group='{truncation: 0.25}', than='{truncation: null}')}]\n"
    "evaluate: [{kind: quality, truncation: [0.5]}, {kind: quality, samples: 500, truncation: [0.25]}]": (
        "claims.0.group.truncation: got 0.25, expected one of null, 0.5"  # the first one is meant
    ),
    f"[{claim('quality.fid', group='{evaluation.samples: [500, 1000]}', than='{}')}]": (
        "claims.0.than: got {}, but 8 trials are in both groups; name what tells them apart"
    ),
    f"[{claim('quality.fid', group='{truncation: [null, 0.5]}', than='{truncation: 0.5}')}]": (
        'claims.0.than: got {"truncation": 0.5}, but 8 trials are in both groups; name what tells them apart'
    ),
    f"[{claim('quality.fid', group='{truncation: 0.5}', than='{}')}]": (
        "claims.0.than: got {}, but 8 trials are in both groups; name what tells them apart"
    ),
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.items(), ids=[text[:60] for text in MISTAKES])
def test_a_mistake_is_one_line(mistake: Callable[..., str], text: str, message: str) -> None:
    assert mistake(f"{STUDY}claims: {text}") == f"job.yaml: {message}"


@pytest.mark.parametrize(
    "text",
    [
        claim(),
        claim("saturated"),
        claim("g_score_gradient", better="higher", more=", factor: 10"),
        claim(group="{training.d_steps: [1, 2], objective.kind: saturating}", more=", by: 1"),
        claim("quality.recall", group="{truncation: null}", than="{truncation: 0.5}", better="higher"),
        claim("quality.fid", group="{truncation: 0.5}", than="{samples: 1000}"),  # as with the best start and the first
        claim("quality.fid", group="{}", than="{}", more=", than_measure: quality.kid"),
        claim("fid", group="{}", than="{training.seed: 0}", more=", than_measure: best_fid, factor: 2"),
        claim("quality.fid", group="{evaluation.samples: 1000, training.seed: 0}", than="{training.seed: 1}"),
        claim(group="{model.batch_norm: synchronized, training.d_steps: 1}", than="{training.d_steps: 2}"),
        claim(than="", more=", than_value: -3.5, source: 'A FID below <50> & \\\"good\\\".'"),
        claim("class_kl", than="", better="", more=", than_value: 1, unit: nats, within: 0.1"),
        claim("saturated", than="", more=", than_value: 0.5"),
        claim("class_kl", more=", by: 1, unit: nats"),
        claim(group="{objective.labels.real: [[1.0, 1.0]], objective.kind: saturating}"),
        claim("epoch", than="", more=", than_value: 20, unit: epochs"),
        claim("best_fid", "{training.seed: 1}", "{training.seed: 0}", more=", each: {training.d_steps: [1, 2]}"),
    ],
)
def test_it_is_kept_as_it_stands(load: Callable[..., Job], text: str) -> None:
    job = load(f"{STUDY}claims: [{text}]")
    raw = parse_yaml(dump_yaml(job.resolved()), "job.yaml")
    assert isinstance(raw, dict)
    again = make_job(raw, job.source)
    assert again.header.claims == job.header.claims
    (found,) = raw["claims"]
    told = parse_yaml(text, "claim")
    assert isinstance(told, dict)
    assert found == told


def test_values_that_are_lists_tell_trials_apart_also_one_by_one(load: Callable[..., Job]) -> None:
    path, smooth = "objective.labels.real", [[0.9, 0.9], [0.9, 1.0]]
    labels = f"{{real: 1.0}}, {{real: 0.9}}, {{real: {smooth[1]}}}"
    text = STUDY.replace("training.d_steps: [1, 2]", f"objective.labels: [{labels}]")
    each = claim(group="{}", than=f"{{{path}: [[1.0, 1.0]]}}", more=f", each: {{{path}: {smooth}}}")
    job = load(f"{text}claims: [{each}]")
    members = members_of(job.header.claims[0])
    assert [member.group for member in members] == [{path: [one]} for one in smooth]
    sides = [[selects(where, trial.settings) for trial in job.trials] for m in members for where in (m.group, m.than)]
    assert [sum(side) for side in sides] == [4] * 4


def test_the_first_evaluation_is_told_apart_from_one_that_is_named(load: Callable[..., Job]) -> None:
    two = "evaluate: [{kind: quality}, {kind: quality, samples: 500}]"
    named = claim("quality.fid", group="{evaluation.samples: 500}", than="{}")
    assert len(load(f"{STUDY}{two}\nclaims: [{named}]").header.claims) == 1


def test_it_is_no_part_of_a_trial_s_id(load: Callable[..., Job]) -> None:
    ids = [[trial.id for trial in load(text).trials] for text in (STUDY, f"{STUDY}claims: [{claim()}]")]
    assert ids[0] == ids[1]


def test_an_override_leaves_out_claims_that_it_takes_the_trials_of(load: Callable[..., Job]) -> None:
    second = claim(group="{training.d_steps: 2}", than="{training.d_steps: 1}").replace("id: A", "id: B")
    text = f"{STUDY}claims: [{claim()}, {second}]"
    job = load(text, "grid.training.d_steps=[2]")
    assert [one.id for one in job.header.claims] == ["A"]
    assert job.left_out == ('claim B is left out: got {"training.d_steps": 1}, which is no trial of this job',)
    assert make_job(job.resolved(), "job.yaml").header == job.header
    assert load(text, "training.measure_every=0").header.claims == ()
    assert load(text).left_out == ()


def test_an_override_of_a_claim_is_checked(mistake: Callable[..., str]) -> None:
    text = f"{STUDY}claims: [{claim()}]"
    assert mistake(text, "claims.0.measure=fidd").startswith("--set: claims.0.measure: got 'fidd'; did you mean 'fid'?")


def test_measures_know_their_scale() -> None:
    scales = {
        **dict.fromkeys(("fid", "quality.fid", "restoration.mse"), Scale.NUMBER),
        **dict.fromkeys(("interpolation.third_classes", "inversion.dropped_at"), Scale.NUMBER),  # means over many rows
        **dict.fromkeys(("modes", "quality.modes", "epoch"), Scale.WHOLE),
        **dict.fromkeys(ENDS, Scale.YES_NO),
    }
    assert {name: measure.scale for name in scales if (measure := find_measure(name))} == scales
    assert [find_measure(name) for name in ("status", "quality", "quality.", ".fid", "trials.fid", "")] == [None] * 6


def test_values_are_compared_as_yaml_has_them(load: Callable[..., Job]) -> None:
    assert allows(2, 2.0)
    assert allows([None, 1], None)
    assert not allows(1, True)
    assert not allows(True, 1)
    assert not allows([1, 2], 3)
    assert allows([[0.9, 1], [1, 1]], (0.9, 1.0))
    assert not allows([0.9, 1], (0.9, 1.0))
    settings = load("model: {kind: dcgan, width: 8}").trials[0].settings
    assert selects({"model.width": [4, 8], "objective.gamma": None, "truncation": 0.5}, settings)
    assert not selects({"model.width": 4}, settings)
    assert not selects({"objective.gamma": 0.5}, settings)


def test_evaluations_know_what_their_rows_can_have(load: Callable[..., Job]) -> None:
    evaluation, trial = Quality(truncation=(0.5, 1.0)), load("").trials[0].settings
    assert evaluation.values_of("truncation", trial) == (None, 0.5, 1.0)
    assert evaluation.values_of("fid", trial) is None


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "jobs").glob("*.yaml")), ids=lambda path: path.stem
)
def test_claims_of_job_files_are_decided_by_several_seeds(path: Path) -> None:
    job = make_job(parse_yaml(path.read_text(), path.name), path.name)  # type: ignore[arg-type]
    for one in job.header.claims:
        for where in (where for member in members_of(one) for where in sides_of(member).values()):
            seeds = {trial.settings.training.seed for trial in job.trials if selects(where, trial.settings)}
            assert len(seeds) >= 3, one.id
