"""What is drawn over the step: figures by topic, each of the quantities that a study may have measured."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.study import COLUMNS

GAMMA = "objective.gamma"


@dataclass(frozen=True)
class Quantity:
    """One row of panels: a column of metrics/, which has its label and scale, and what the caption says of it.

    A ``shared`` axis is the same in all panels; losses of different objectives have no common scale. ``markers`` show
    where a sparse quantity was measured. ``target`` is the setting whose value the quantity should tend to.
    """

    column: str
    shows: str = ""
    limits: tuple[float, float] | None = None
    shared: bool = True
    markers: bool = False
    target: str | None = None

    @property
    def label(self) -> str:
        """What the axis is called."""
        return COLUMNS[self.column].heading

    @property
    def log(self) -> bool:
        """Whether the axis is logarithmic whatever the values."""
        return COLUMNS[self.column].log


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
        (Quantity("d_loss", shared=False), Quantity("g_loss", shared=False)),
    ),
    Topic(
        "gradients",
        "Generator gradient",
        "",
        (
            Quantity(
                "g_grad_norm", "G gradient norm: the Euclidean norm of the gradient over the generator's parameters."
            ),
            Quantity("g_score_gradient", "|∂L_G/∂F|, by which the loss scales it: the mean over images."),
            Quantity("g_image_gradient", "Gradient in an image: the mean norm of ∂L_G/∂G(z)."),
        ),
    ),
    Topic(
        "discriminator",
        "Discriminator outputs",
        "Mean of σ(score) on real and on generated images: the probability of being real that the score stands for, "
        "or, where the objective's scores are no logits, as with least squares, only a squashed score.",
        (Quantity("d_real_probability", limits=_SHARE), Quantity("d_fake_probability", limits=_SHARE)),
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
        (Quantity("d_real_error"), Quantity("d_fake_error")),
    ),
    Topic(
        "reconstruction",
        "Reconstruction while training",
        "Error of decoded training images in [0, 1], each family by its own norm.",
        (Quantity("reconstruction"),),
        (("glo", "GLO's is the squared one."),),
    ),
    Topic(
        "likelihood-while-training",
        "Bits per dimension while training",
        "-log2 p(x) of training images with noise in their last bit, over their pixels; fewer is better.",
        (Quantity("bits_per_dimension"),),
    ),
    Topic(
        "latent-penalty",
        "Latent penalty",
        "",
        (
            Quantity(
                "latent_penalty",
                "Latent penalty: what draws the codes of a batch towards N(0, I), without its weight. Each kind is a "
                "quantity of its own.",
                shared=False,
            ),
            Quantity("penalty_weight", "Penalty's weight: its factor in the loss."),
        ),
    ),
    Topic(
        "normality",
        "Distance of codes from N(0, 1)",
        "Kolmogorov-Smirnov distance of the numbers of the codes of training images.",
        (
            Quantity("latent_ks", "Codes' KS distance: of all numbers together.", markers=True),
            Quantity(
                "latent_ks_each", "KS distance of each coordinate: the mean of those of each by itself.", markers=True
            ),
        ),
        (("glo", "GLO's vectors are taken as their fitted Gaussian standardizes them."),),
    ),
    Topic(
        "began",
        "BEGAN's control",
        "",
        (
            Quantity("k", "k weighs generated images in the discriminator's loss."),
            Quantity("loss_ratio", "Loss ratio: l(G(z)) / l(x), which k holds near gamma.", target=GAMMA),
            Quantity("m_global", "M_global falls as training converges."),
        ),
    ),
    Topic(
        "penalty",
        "Gradient penalty",
        "Mean over images of what the discriminator's loss has for its gradient in an image.",
        (Quantity("d_penalty"),),
    ),
    Topic(
        "quality-while-training",
        "Quality while training",
        "Measured on samples at the marked steps.",
        (
            Quantity("fid", "FID: distance to the data in the classifier's features, lower is better.", markers=True),
            Quantity("modes", "Modes: classes covered.", markers=True),
            Quantity(
                "class_kl",
                "Class KL: how far the samples' classes are from the data's shares, 0 is best.",
                markers=True,
            ),
            Quantity(
                "diversity",
                "Diversity: mean distance between two samples over that between two images of the data, 1 is as "
                "varied.",
                markers=True,
            ),
        ),
    ),
)
