"""What is minimised: pure functions of log-probabilities, reference log-probabilities and rewards.

Shapes: [prompts, samples]. Log-probabilities are of whole answers, in nats. Losses are means over prompts,
so that their weight against a penalty is the same in a batch of any size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

Advantage = Callable[[Tensor], Tensor]
Estimator = Callable[[Tensor, Tensor], Tensor]


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


def clipped(log_probs: Tensor, drawn: Tensor, advantages: Tensor, clip: float = 0.2) -> Tensor:
    """PPO: the policy gradient on answers of an earlier policy, no action pushed beyond `clip`.

    All [prompts, samples, actions], 0 outside of an answer: an action is a token, or the whole answer.
    `drawn` are the log-probabilities that the actions had when they were taken.

    References: Schulman et al. 2017, Proximal policy optimization algorithms.
    """
    ratio = (log_probs - drawn.detach()).exp()
    held = ratio.clamp(1 - clip, 1 + clip)
    return -torch.minimum(ratio * advantages.detach(), held * advantages.detach()).sum(dim=-1).mean()


def gae(rewards: Tensor, values: Tensor, inside: Tensor, decay: float = 0.95) -> Tensor:
    """Generalised advantages of actions [..., places], undiscounted: sums of decay^k (r + V' - V), k ahead.

    `inside` are the places of an answer, one after the other; elsewhere rewards and advantages are 0. With
    decay 1 an advantage is all that is still to come, less the value.

    References: Schulman et al. 2016, High-dimensional continuous control using generalized advantage
    estimation.
    """
    values = values * inside
    surprise = (rewards + pad(values[..., 1:], (0, 1)) - values) * inside
    place = torch.arange(surprise.shape[-1], device=surprise.device)
    weights = (decay ** (place[:, None] - place).clamp(min=0).to(surprise.dtype)).tril()
    return surprise @ weights * inside


def value_loss(values: Tensor, drawn: Tensor, returns: Tensor, clip: float = 0.2) -> Tensor:
    """Half the squared error of each value, no less than that of a value held within `clip` of `drawn`'s.

    References: Schulman et al. 2017 (in their code).
    """
    held = drawn + (values - drawn).clamp(-clip, clip)
    return torch.maximum((values - returns) ** 2, (held - returns) ** 2) / 2


def best_of(rewards: Tensor) -> Tensor:
    """Best-of-N: weight 1 on the prompt's answer of highest reward, shared among equals."""
    best = (rewards == rewards.amax(dim=1, keepdim=True)).to(rewards.dtype)
    return best / best.sum(dim=1, keepdim=True)


def filtered(log_probs: Tensor, rewards: Tensor) -> Tensor:
    """Best-of-N distillation: supervised tuning on the best of each prompt's answers.

    With beta KL(reference || policy) added it is SuperHF, whose fixed point is
    (best-of-N of the policy + beta reference) / (1 + beta).

    References: Mukobi et al. 2023, SuperHF (whose code sums the KL over a batch and shifts it by a token).
    """
    return -(best_of(rewards) * log_probs).sum(dim=1).mean()


def reward_weighted(log_probs: Tensor, rewards: Tensor, *, beta: float, most: float = 20.0) -> Tensor:
    """RWR: likelihood weighted by exp(r / beta); on answers of a policy p it ends at p exp(r / beta) / Z.

    References: Peters and Schaal 2007, Reinforcement learning by reward-weighted regression; the weights end
    at `most`, as in Tajwar et al. 2024.
    """
    return -((rewards / beta).exp().clamp(max=most) * log_probs).mean()


def dpo(log_probs: Tensor, reference: Tensor, rewards: Tensor, *, beta: float) -> Tensor:
    """DPO on all pairs of a prompt's answers; a pair of equal rewards has a loss of 0.

    References: Rafailov et al. 2023, Direct preference optimization.
    """
    margin, won = _pairs(log_probs - reference, rewards)
    return -(won.abs() * logsigmoid(beta * won * margin)).mean()


def ipo(log_probs: Tensor, reference: Tensor, rewards: Tensor, *, beta: float) -> Tensor:
    """IPO on all pairs of a prompt's answers: the better one's log-ratio leads by 1 / (2 beta).

    References: Azar et al. 2023, A general theoretical paradigm to understand learning from preferences.
    """
    margin, won = _pairs(log_probs - reference, rewards)
    return (won.abs() * (won * margin - 1 / (2 * beta)) ** 2).mean()


def ipo_per_token(
    log_probs: Tensor, reference: Tensor, rewards: Tensor, tokens: Tensor, *, beta: float
) -> Tensor:
    """IPO as TRL has it: log-ratios are means over an answer's tokens, whose numbers are `tokens`."""
    return ipo(log_probs / tokens, reference / tokens, rewards, beta=beta)


def _pairs(ratios: Tensor, rewards: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of log-ratios over all pairs of a prompt's answers, and 1, -1 or 0: which is the better."""
    first, second = torch.triu_indices(rewards.shape[1], rewards.shape[1], offset=1, device=rewards.device)
    return ratios[:, first] - ratios[:, second], (rewards[:, first] - rewards[:, second]).sign()


def kto(log_probs: Tensor, reference: Tensor, rewards: Tensor, elsewhere: Tensor, *, beta: float) -> Tensor:
    """KTO: each answer is desirable or not, by whether its reward is above the batch's mean.

    `elsewhere` are the log-ratios of answers after other prompts than their own: their mean, if above 0,
    stands for the KL that gains and losses are measured from.

    References: Ethayarajh et al. 2024, KTO.
    """
    above = rewards - rewards.mean()
    desirable = above.sign() * (above.abs() > 1e-6)
    gain = log_probs - reference - elsewhere.detach().mean().clamp(min=0)
    return (desirable.abs() * (1 - (beta * desirable * gain).sigmoid())).mean()


def k1(log_probs: Tensor, reference: Tensor) -> Tensor:
    """The log-ratio: in the reward its policy gradient is the KL's; as a loss its expected gradient is 0.

    References: Schulman 2020, Approximating KL divergence; on what k1, k2 and k3 optimise, arXiv 2510.01555.
    """
    return log_probs - reference


def k2(log_probs: Tensor, reference: Tensor) -> Tensor:
    """Half the squared log-ratio: as a loss its gradient is the KL's; in the reward it also punishes answers
    that the policy gives too seldom."""
    return (log_probs - reference) ** 2 / 2


def k3(log_probs: Tensor, reference: Tensor) -> Tensor:
    """Never below 0 and unbiased in value; as a loss its gradient is that of KL(reference || policy)."""
    return (reference - log_probs).expm1() - (reference - log_probs)


ESTIMATORS: dict[str, Estimator] = {"k1": k1, "k2": k2, "k3": k3}
"""Of the KL of sampled answers, by name."""


def regularised(
    advantages: Tensor,
    log_probs: Tensor,
    reference: Tensor,
    centre: Advantage,
    beta: float,
    estimator: Estimator = k1,
) -> Tensor:
    """Advantages less beta times an estimate of KL(policy || reference), itself less a baseline.

    With k1 its policy gradient is the KL's, without bias, whatever was done to the rewards.
    """
    return advantages - beta * centre(estimator(log_probs.detach(), reference))


def adapted(beta: float, kl: float, target: float, *, gain: float = 0.1, most: float = 0.2) -> float:
    """Beta after a batch whose KL to the reference was `kl` nats: raised above the target, lowered below it.

    References: Ziegler et al. 2019, Fine-tuning language models from human preferences.
    """
    error = min(max(kl / target - 1, -most), most)
    return beta * (1 + gain * error)


def entropy(log_probs: Tensor) -> Tensor:
    """Entropy in nats of each row of normalised log-probabilities [..., answers]."""
    return -(log_probs.exp() * log_probs).sum(dim=-1)


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) in nats of each row of normalised log-probabilities [..., answers]."""
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)
