"""Who is asked: any Hugging Face language model, the embedded models, answers, the bare training loop."""

from models.answers import answer_ids, answer_log_probs, prompt_ids, score_answers
from models.checkpoints import checkpoints_in, pretrain_keeping, step_in
from models.classifier import TextClassifier, sentiment_scores
from models.embedded import Recipe, cache_dir, list_recipes, pretrained_folder, recipe_of
from models.entailment import nli_of
from models.language_model import CODE, FILES, LanguageModel, load, model_folder
from models.reward_model import learned_rewards, load_reward_model, reward_model_of
from models.save import save
from models.train import Diverged, Optimisation, train

__all__ = [
    "CODE",
    "FILES",
    "Diverged",
    "LanguageModel",
    "Optimisation",
    "Recipe",
    "TextClassifier",
    "answer_ids",
    "answer_log_probs",
    "cache_dir",
    "checkpoints_in",
    "learned_rewards",
    "list_recipes",
    "load",
    "load_reward_model",
    "model_folder",
    "nli_of",
    "pretrain_keeping",
    "pretrained_folder",
    "prompt_ids",
    "recipe_of",
    "reward_model_of",
    "save",
    "score_answers",
    "sentiment_scores",
    "step_in",
    "train",
]
