"""What is asked: features, pairs, input languages, evidence, rewards, demonstrations, preferences."""

from tasks.answers import ANSWER_WORDS, Answers, LabelAnswers, RunAnswers, SentimentAnswers
from tasks.errors import UserError, unknown
from tasks.evidence import QUADRANTS, SPURIOUS, TARGET, Evidence, bayes_accuracy
from tasks.feature import Feature
from tasks.registry import (
    INCLUDE,
    get_feature,
    get_task,
    include,
    list_features,
    list_shipped,
    list_tasks,
    task,
    task_sources,
)
from tasks.slots import text_pair
from tasks.symbols.pairs import symbol_pair, symbol_words, third_feature
from tasks.task import Problem, Task
from tasks.text import text_feature

__all__ = [
    "ANSWER_WORDS",
    "INCLUDE",
    "QUADRANTS",
    "SPURIOUS",
    "TARGET",
    "Answers",
    "Evidence",
    "Feature",
    "LabelAnswers",
    "Problem",
    "RunAnswers",
    "SentimentAnswers",
    "Task",
    "UserError",
    "bayes_accuracy",
    "get_feature",
    "get_task",
    "include",
    "list_features",
    "list_shipped",
    "list_tasks",
    "symbol_pair",
    "symbol_words",
    "task",
    "task_sources",
    "text_feature",
    "text_pair",
    "third_feature",
    "unknown",
]
