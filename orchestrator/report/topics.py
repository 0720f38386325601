"""What is drawn over the step: figures by topic, each of the quantities that a study may have measured."""

from __future__ import annotations

from dataclasses import dataclass

GAMMA = "objective.gamma"


@dataclass(frozen=True)
class Quantity:
    """One row of panels: a column of metrics/, its label, what the caption says of it, and the axis it is drawn on.

    A ``shared`` axis is the same in all panels; losses of different objectives have no common scale. ``markers`` show
    where a sparse quantity was measured. ``target`` is the setting whose value the quantity should tend to.
    """

    column: str
    label: str
    shows: str = ""
    log: bool = False
    limits: tuple[float, float] | None = None
    shared: bool = True
    markers: bool = False
    target: str | None = None
    spoken: str = ""
    """the label for those who hear it, where it is written in mathematics"""


@dataclass(frozen=True)
class Topic:
    """A figure: its file's name, title, what it shows, and its quantities, of which those with values are drawn.

    ``notes`` are said of studies that have an objective of the kind.
    """

    name: str
    title: str
    shows: str
    quantities: tuple[Quantity, ...]
    notes: tuple[tuple[str, str], ...] = ()


_SHARE = (-0.02, 1.02)
TOPICS = (
    Topic(
        "losses",
        "Losses",
        "Losses of different objectives are different quantities, so each panel has its own scale.",
        (Quantity("d_loss", "D loss", shared=False), Quantity("g_loss", "G loss", shared=False)),
    ),
    Topic(
        "gradients",
        "Generator gradient",
        "",
        (
            Quantity(
                "g_grad_norm",
                "G gradient norm",
                "G gradient norm: the Euclidean norm of the gradient over the generator's parameters.",
                log=True,
            ),
            Quantity(
                "g_score_gradient",
                r"mean $|\partial L_G / \partial F|$",
                "|∂L_G/∂F|, by which the loss scales it: the mean over images.",
                log=True,
                spoken="mean |∂L_G/∂F|",
            ),
            Quantity(
                "g_image_gradient",
                "gradient in an image",
                "Gradient in an image: the mean norm of ∂L_G/∂G(z).",
                log=True,
            ),
        ),
    ),
    Topic(
        "discriminator",
        "Discriminator outputs",
        "Mean of σ(score) on real and on generated images: the probability of being real that the score stands for, "
        "or, where the objective's scores are no logits, as with least squares, only a squashed score.",
        (
            Quantity("d_real_probability", "D(real), mean σ", limits=_SHARE),
            Quantity("d_fake_probability", "D(fake), mean σ(F)", limits=_SHARE),
        ),
        (
            (
                "wae_adversarial",
                "The discriminator of wae_adversarial sees latent vectors: draws from N(0, I) for real, and codes.",
            ),
        ),
    ),
    Topic(
        "errors",
        "The autoencoder's errors",
        "This discriminator is an autoencoder: it judges an image by its reconstruction error, low for what it takes "
        "for real.",
        (
            Quantity("d_real_error", "error on real images", log=True),
            Quantity("d_fake_error", "error on generated", log=True),
        ),
    ),
    Topic(
        "reconstruction",
        "Reconstruction while training",
        "Error of decoded training images in [0, 1], each family by its own norm.",
        (Quantity("reconstruction", "error", log=True),),
        (("glo", "GLO's is the squared one."),),
    ),
    Topic(
        "likelihood-while-training",
        "Bits per dimension while training",
        "-log2 p(x) of training images with noise in their last bit, over their pixels; fewer is better.",
        (Quantity("bits_per_dimension", "bits per dimension"),),
    ),
    Topic(
        "latent-penalty",
        "Latent penalty",
        "",
        (
            Quantity(
                "latent_penalty",
                "penalty",
                "Penalty: what draws the codes of a batch towards N(0, I), without its weight. Each penalty is a "
                "quantity of its own.",
                shared=False,
            ),
            Quantity("penalty_weight", "weight", "Weight: that of the penalty.", log=True),
        ),
    ),
    Topic(
        "normality",
        "Distance of codes from N(0, 1)",
        "Kolmogorov-Smirnov distance of the numbers of the codes of training images.",
        (
            Quantity("latent_ks", "pooled", "Pooled: of all numbers together.", log=True, markers=True),
            Quantity(
                "latent_ks_each",
                "each coordinate",
                "Each coordinate: the mean of those of each by itself.",
                log=True,
                markers=True,
            ),
        ),
        (("glo", "GLO's vectors are taken as their fitted Gaussian standardizes them."),),
    ),
    Topic(
        "began",
        "BEGAN's control",
        "",
        (
            Quantity("k", "k", "k weighs generated images in the discriminator's loss."),
            Quantity(
                "loss_ratio",
                "ratio of the losses",
                "Ratio of the losses: l(G(z)) / l(x), which k holds near gamma.",
                target=GAMMA,
            ),
            Quantity("m_global", "M_global", "M_global falls as training converges."),
        ),
    ),
    Topic(
        "penalty",
        "Gradient penalty",
        "Mean over images of what the discriminator's loss has for its gradient in an image.",
        (Quantity("d_penalty", "penalty", log=True),),
    ),
    Topic(
        "quality-while-training",
        "Quality while training",
        "Measured on samples at the marked steps.",
        (
            Quantity(
                "fid",
                "FID",
                "FID: distance to the data in the classifier's features, lower is better.",
                log=True,
                markers=True,
            ),
            Quantity("modes", "modes covered", "Modes: classes covered.", markers=True),
            Quantity(
                "class_kl",
                "class KL, nats",
                "Class KL: how far the samples' classes are from the data's shares, 0 is best.",
                markers=True,
            ),
            Quantity(
                "diversity",
                "diversity",
                "Diversity: mean distance between two samples over that between two images of the data, 1 is as "
                "varied.",
                markers=True,
            ),
        ),
    ),
)
