"""The knobs: every mistake is answered in one line."""

from __future__ import annotations

from typing import Any

import pytest

from rl_finetune import Settings, settings_from
from tasks.errors import UserError


def test_plain_values_become_settings() -> None:
    assert settings_from({}) == Settings()
    values = {"steps": 3, "batch_size": 5, "beta": 1, "answers": "free"}
    assert settings_from(values) == Settings(steps=3, batch_size=5, beta=1.0, answers="free")
    assert settings_from(values).rows == 15


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lerning_rate": 1.0}, "unknown key in settings 'lerning_rate'; did you mean 'learning_rate'"),
        ({"steps": "ten"}, "steps should be of type int, not 'ten'"),
        ({"steps": 10.0}, "steps should be of type int, not 10.0"),
        ({"steps": True}, "steps should be of type int, not True"),
        ({"beta": "0.1"}, "beta should be of type float, not '0.1'"),
        ({"answers": "fre"}, "unknown way of answering 'fre'; did you mean 'free'"),
        ({"steps": 0}, "steps must be above 0, not 0"),
        ({"samples_per_prompt": -1}, "samples_per_prompt must be above 0, not -1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, not 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0, not nan"),
        ({"learning_rate": float("inf")}, "learning_rate must be above 0, not inf"),
        ({"beta": -0.1}, "beta must be 0 or above, not -0.1"),
        ({"entropy_bonus": float("nan")}, "entropy_bonus must be 0 or above, not nan"),
        *(
            ({"counterfactual_n": n}, f"counterfactual_n must be 0 or a multiple of 4, not {n}")
            for n in (1, 2, 3, 6)
        ),
        ({"reuse": -1}, "reuse must be 0 or above, not -1"),
        ({"kl_in": "los"}, "unknown value of kl_in 'los'; did you mean 'loss'"),
        ({"kl_estimator": "k4"}, "unknown value of kl_estimator 'k4'; did you mean"),
        ({"log_points": -1}, "log_points must be 0 or above, not -1"),
    ],
)
def test_mistakes(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        settings_from(values)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_config_names_a_later_knob_only_where_it_is_used() -> None:
    plain = Settings().told()
    assert "reuse" not in plain
    assert plain["beta"] == 0.0
    assert Settings(reuse=2, samples_from="reference").told() == {
        **plain,
        "reuse": 2,
        "samples_from": "reference",
    }
    assert settings_from(Settings(prior="pretrained").told()) == Settings(prior="pretrained")


def test_the_place_of_a_mistake_is_named() -> None:
    with pytest.raises(UserError, match=r"^studies/mine\.yaml: steps should"):
        settings_from({"steps": None}, "studies/mine.yaml")
