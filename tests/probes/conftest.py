"""Small models, as other tests make them: of every architecture, and one that learns in a few dozen steps."""

from tests.models.conftest import random_model as random_model
from tests.rl_finetune.conftest import lm as lm
