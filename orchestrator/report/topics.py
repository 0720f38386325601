"""What is drawn over the step: figures by topic, each of the quantities that a study may have measured."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.report.figures import FLOOR, Quantity

GAMMA = "objective.gamma"


@dataclass(frozen=True)
class Topic:
    """A figure: its file's name, title, what it shows, and its rows of panels, of which those with values are drawn."""

    name: str
    title: str
    shows: str
    quantities: tuple[Quantity, ...]


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
        "The Euclidean norm of the gradient over the generator's parameters; the mean over images of |∂L_G/∂F|, by "
        "which the loss scales it; and, where it was logged, the mean norm of ∂L_G/∂G(z), the gradient that reaches an "
        f"image. Logarithmic; values under {FLOOR:.0e} are drawn there.",
        (
            Quantity("g_grad_norm", "G gradient norm", log=True),
            Quantity("g_score_gradient", r"mean $|\partial L_G / \partial F|$", log=True),
            Quantity("g_image_gradient", "gradient in an image", log=True),
        ),
    ),
    Topic(
        "discriminator",
        "Discriminator outputs",
        "Mean of σ(score) on real and on generated images: the probability of being real that the score stands for, "
        "or, where the objective's scores are no logits, as with least squares, only a squashed score. The "
        "discriminator of wae_adversarial sees latent vectors: draws from N(0, I) for real, and codes.",
        (
            Quantity("d_real_probability", "D(real), mean σ", limits=(-0.02, 1.02)),
            Quantity("d_fake_probability", "D(fake), mean σ(F)", limits=(-0.02, 1.02)),
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
        "Error of decoded training images in [0, 1], each family by its own norm (GLO's is the squared one).",
        (Quantity("reconstruction", "error", log=True),),
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
        "What draws the codes of a batch towards N(0, I), without its weight, and the weight. Each penalty is a "
        "quantity of its own.",
        (
            Quantity("latent_penalty", "penalty", shared=False),
            Quantity("penalty_weight", "weight", log=True),
        ),
    ),
    Topic(
        "normality",
        "Distance of codes from N(0, 1)",
        "Kolmogorov-Smirnov distance of all numbers of the codes of training images pooled, and the mean of those of "
        "each coordinate by itself; GLO's vectors are taken as their fitted Gaussian standardizes them.",
        (
            Quantity("latent_ks", "pooled", log=True, markers=True),
            Quantity("latent_ks_each", "each coordinate", log=True, markers=True),
        ),
    ),
    Topic(
        "began",
        "BEGAN's control",
        "k weighs generated images in the discriminator's loss; the ratio of the losses, l(G(z)) / l(x), is what k "
        "holds near gamma; M_global falls as training converges.",
        (
            Quantity("k", "k"),
            Quantity("loss_ratio", "ratio of the losses", target=GAMMA),
            Quantity("m_global", "M_global"),
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
        "Measured on samples at the marked steps. FID: distance to the data in the classifier's features, lower is "
        "better. Modes: classes covered. Class KL: how far the samples' classes are from the data's shares, 0 is best. "
        "Diversity: mean distance between two samples over that between two images of the data, 1 is as varied.",
        (
            Quantity("fid", "FID", log=True, markers=True),
            Quantity("modes", "modes covered", markers=True),
            Quantity("class_kl", "class KL, nats", markers=True),
            Quantity("diversity", "diversity", markers=True),
        ),
    ),
)
