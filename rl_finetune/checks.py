"""Methods, settings and controls that do not go together, refused in one line before anything runs."""

from __future__ import annotations

from models.passes import check_compiler
from rl_finetune.methods import Method
from rl_finetune.settings import OWN, Settings
from tasks.errors import UserError, unknown

CONTROLS = ("", "random_reward", "shuffled_labels")


def check(method: Method, settings: Settings, control: str) -> None:
    """Refuse a method, settings and a control that do not go together."""
    if settings.compile:
        check_compiler()
    if control not in CONTROLS:
        raise unknown("control", control, CONTROLS)
    if not method.trains and control:
        raise UserError(f"{method.name} tunes nothing, so that there is no control of it")
    if control == "random_reward" and method.reward == "none":
        raise UserError(
            f"the control random_reward needs a method that uses the reward, and {method.name} does not"
        )
    if method.samples == "demonstrations" and settings.samples_from != OWN:
        raise UserError(f"{method.name} learns from demonstrations and takes no samples_from")
    sampled = method.set(settings).samples in ("policy", "reference")
    if sampled and settings.samples_per_prompt < method.least_samples:
        raise UserError(f"{method.name} needs at least {method.least_samples} samples_per_prompt")
    if method.mismatched and settings.batch_size < 2:
        raise UserError(f"{method.name} needs answers after other prompts: a batch_size of at least 2")
    if method.ratios and settings.samples_from == "reference":
        raise UserError(f"{method.name} takes ratios to the policy that answered: no samples_from=reference")
    check_kl(method, settings)


def check_reward_settings(settings: Settings) -> None:
    """Refuse settings that the training of a reward model cannot have."""
    if settings.compile:
        raise UserError("setting compile is of policies: give it to the runs alone, and not to reward models")


def check_kl(method: Method, settings: Settings) -> None:
    """Refuse knobs of the KL that a method cannot have."""
    kl, asked = method.set(settings).kl, (settings.kl_in, settings.kl_estimator, settings.kl_direction)
    if method.kl.place in ("log-ratios", "weights") and asked != (OWN, OWN, OWN):
        raise UserError(f"{method.name} has beta in its objective; it takes no kl_in, estimator or direction")
    if settings.kl_in == "none" and (settings.beta or asked[1:] != (OWN, OWN)):
        raise UserError("kl_in=none is without a KL; it takes no beta, estimator or direction")
    if kl.place == "none" and settings.kl_in != "none" and asked != (OWN, OWN, OWN):
        raise UserError(f"{method.name} has no KL of its own; say kl_in=loss")
    if kl.place == "reward" and method.reward != "advantage":
        raise UserError(f"kl_in=reward needs a method whose reward is an advantage, unlike {method.name}")
    if kl.place == "reward" and kl.estimator == "exact":
        raise UserError("kl_estimator=exact is of whole distributions and needs kl_in=loss")
    if kl.direction == "forward" and kl.estimator != "exact":
        raise UserError("kl_direction=forward needs kl_in=loss and kl_estimator=exact")
    if kl.place == "loss" and kl.estimator != "exact" and method.set(settings).samples != "policy":
        raise UserError(f"kl_estimator={kl.estimator} is of answers of the policy; say exact")
    if kl.place == "reward" and method.set(settings).beta and method.set(settings).samples != "policy":
        raise UserError(
            "a KL in the reward is of the policy's own answers; of the reference's say kl_in=loss, or beta=0"
        )
    if settings.kl_target and (kl.place != "reward" or method.set(settings).samples != "policy"):
        raise UserError(f"kl_target is of a KL in the reward of the policy's answers, unlike {method.name}'s")
    if settings.kl_target and not method.set(settings).beta:
        raise UserError("kl_target needs a beta above 0 to begin with")
    if settings.prior != "reference" and (kl.place, kl.estimator) != ("loss", "exact"):
        raise UserError("prior=pretrained needs kl_in=loss and kl_estimator=exact")
