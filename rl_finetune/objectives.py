"""What is minimised: pure functions of log-probabilities, reference log-probabilities and rewards.

Shapes: [prompts, samples]. Log-probabilities are of whole answers, in nats. Losses are means over samples.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Advantage = Callable[[Tensor], Tensor]


def likelihood(log_probs: Tensor) -> Tensor:
    """Supervised fine-tuning: the mean negative log-likelihood of the demonstrations."""
    return -log_probs.mean()


def policy_gradient(log_probs: Tensor, advantages: Tensor) -> Tensor:
    """The loss whose gradient is minus the policy gradient of samples from the current policy.

    References: Williams 1992, Simple statistical gradient-following algorithms.
    """
    return -(advantages.detach() * log_probs).mean()


def batch_baseline(rewards: Tensor) -> Tensor:
    """REINFORCE: rewards minus the mean of all *other* prompts' rewards: the gradient stays unbiased."""
    prompts, samples = rewards.shape
    if prompts == 1:
        return rewards
    own = rewards.sum(dim=1, keepdim=True)
    return rewards - (rewards.sum() - own) / ((prompts - 1) * samples)


def leave_one_out(rewards: Tensor) -> Tensor:
    """RLOO: each reward minus the mean of the prompt's other samples.

    References: Kool et al. 2019; Ahmadian et al. 2024, Back to basics.
    """
    samples = rewards.shape[1]
    return (rewards - rewards.mean(dim=1, keepdim=True)) * samples / (samples - 1)


def group_standardised(rewards: Tensor, epsilon: float = 1e-4) -> Tensor:
    """GRPO: rewards standardised within the prompt's samples (sample standard deviation, as in TRL).

    References: Shao et al. 2024, DeepSeekMath.
    """
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    return centred / (rewards.std(dim=1, keepdim=True) + epsilon)


def regularised(
    advantages: Tensor, log_probs: Tensor, reference: Tensor, centre: Advantage, beta: float
) -> Tensor:
    """Advantages less beta times the k1 estimate of KL(policy || reference), itself less a baseline.

    Its policy gradient is the KL's, without bias, whatever was done to the rewards.
    """
    return advantages - beta * centre(log_probs.detach() - reference)


def entropy(log_probs: Tensor) -> Tensor:
    """Entropy in nats of each row of normalised log-probabilities [..., answers]."""
    return -(log_probs.exp() * log_probs).sum(dim=-1)


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) in nats of each row of normalised log-probabilities [..., answers]."""
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)
