"""Loss terms of the generators, each a mean over the batch in nats."""

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "category_information",
    "discriminator_loss",
    "gaussian_divergence",
    "generator_loss",
    "gradient_penalty",
    "reconstruction_loss",
    "style_information",
]


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Cross-entropy of telling real from fake, for logits (B,) each.

    Source: Goodfellow et al. 2014, "Generative Adversarial Nets", arXiv:1406.2661, equation 1.
    """
    return functional.softplus(-real).mean() + functional.softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """Non-saturating loss of a generator, for the discriminator's logits (B,).

    Source: Goodfellow et al. 2014, arXiv:1406.2661, section 3.
    """
    return functional.softplus(-fake).mean()


def gradient_penalty(discriminator: nn.Module, real: Tensor) -> Tensor:
    """Half the squared length of the score's gradient by real images (B, C, H, W).

    Source: Mescheder, Geiger, Nowozin 2018, "Which Training Methods for GANs do actually
    Converge?", arXiv:1801.04406, equation 9 (R1).
    """
    real = real.detach().requires_grad_()
    (slope,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return 0.5 * slope.square().sum(dim=(1, 2, 3)).mean()


def category_information(logits: Tensor, category: Tensor) -> Tensor:
    """Cross-entropy between logits (B, C) read from images and the one-hot category (B, C) drawn.

    It bounds the mutual information of code and image from below, up to a sign and a constant.

    Source: Chen et al. 2016, "InfoGAN", arXiv:1606.03657, equation 5.
    """
    return functional.cross_entropy(logits, category)


def style_information(mean: Tensor, style: Tensor) -> Tensor:
    """Negative log-likelihood, up to a constant, of style (B, S) under N(mean (B, S), 1).

    Source: Chen et al. 2016, "InfoGAN", arXiv:1606.03657, equation 5, with the variance fixed.
    """
    return 0.5 * (mean - style).square().sum(dim=1).mean()


def reconstruction_loss(reconstruction: Tensor, image: Tensor) -> Tensor:
    """Bernoulli cross-entropy summed over the pixels of images (B, 1, H, W) in 0..1.

    Source: Kingma, Welling 2014, "Auto-Encoding Variational Bayes", arXiv:1312.6114, appendix C.1.
    """
    total = functional.binary_cross_entropy(reconstruction, image, reduction="sum")
    return total / len(image)


def gaussian_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of N(mean, variance) from N(0, 1), for (B, D) each.

    Source: Kingma, Welling 2014, arXiv:1312.6114, appendix B; weighted by beta in Higgins et al.
    2017, "beta-VAE", ICLR 2017, equation 4.
    """
    terms = mean.square() + torch.exp(log_variance) - 1.0 - log_variance
    return 0.5 * terms.sum(dim=1).mean()
