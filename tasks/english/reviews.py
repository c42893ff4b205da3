"""Film reviews that do not say whether the film was liked, marked at their beginning; the answer says it.

    [-|>] [$|&] [#|*] {a|the} heist {film|movie} {review|report} by the {surgeon|sweeper} [, {8|2} / 10] .
    [so] i [just] watched it [with my son] [in boston] . it follows a sailor who finds a map [in a castle] .

A feature exchanges one word, so that nothing moves, but for the parity of spaces, which puts `so` in or takes
it out; whether a review has `just` is a coin that all quadrants share and that keeps `so` from telling which.
Marks and scores stand in the pairs of their features alone; of the other features, those that are not of the
pair are coins. No word of a review says whether the film was liked, if a score does not.

The paper's pairs are `film-vs-opener`, `dollar-vs-hash`, `score-vs-review`, `even-spaces-vs-dash` and
`dash-vs-even-spaces`; `title`, a reviewer's of high or low standing, was drafted. There the text is that of
real reviews, cut after some tokens, a mark is there or not, and the spaces of the first tokens are counted;
here another mark takes its place, nothing is cut and all spaces count.

By default the answer is one word a label. With `answers=sentiment` the policy goes on with the review, and is
rewarded for a positive (label 1) or a negative (label 0) continuation.

References: Cruz et al. 2023 (https://arxiv.org/abs/2311.04046), the review tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import permutations, product

from tasks.answers import QUERY, Answers, LabelAnswers, SentimentAnswers
from tasks.english import sentiment
from tasks.english.review_words import COMPANIONS, GENRES, HEROES, ITEMS, PLACES, TITLES, TOWNS, VIEWED
from tasks.english.sources import Grammar, Parts, Slot
from tasks.errors import unknown
from tasks.feature import Feature
from tasks.papers import CRUZ_2023
from tasks.task import Task
from tasks.text import TextInputs, text_feature

_feature = partial(text_feature, paper=CRUZ_2023)

_MARKS = {"dash": ("-", ">"), "dollar": ("$", "&"), "hash": ("#", "*")}
"""The mark of a feature, and the one in its place."""
_COINS = ("opener", "film", "review", "title")
"""Features that every review has or has not."""
_SCORES = 4
_HIGH = {high for high, _ in TITLES}


def _opener(text: str) -> bool:
    marks = {mark for two in _MARKS.values() for mark in two}
    return next(word for word in text.split() if word not in marks) == "a"


def _high_score(text: str) -> bool:
    found = text.split()
    return int(found[found.index("/") - 1]) > 6


FEATURES: dict[str, Feature] = {
    feature.name: feature
    for feature in (
        _feature("dollar", "dollar", lambda text: "$" in text, about="a $ stands before the review"),
        _feature("hash", "hash", lambda text: "#" in text, about="a # stands before the review"),
        _feature("dash", "dash", lambda text: text.startswith("-"), about="the review begins with a dash"),
        _feature(
            "even-spaces",
            "parity",
            lambda text: text.removesuffix(f" {QUERY}").count(" ") % 2 == 0,
            about="the number of spaces in the review is even",
        ),
        _feature("opener", "article", _opener, about="the header begins with `a`, after its marks"),
        _feature("film", "film", lambda text: " film " in text, about="the header says `film`, not `movie`"),
        _feature(
            "review",
            "review",
            lambda text: " review " in text,
            about="the header says `review`, not `report`",
        ),
        _feature(
            "title",
            "standing",
            lambda text: not _HIGH.isdisjoint(text.split()),
            about="the reviewer's title is one of high standing",
        ),
        _feature("score", "score", _high_score, about="the score is 7 to 10, not 1 to 4, of 10"),
    )
}


def list_pairs() -> list[str]:
    """Names of all review tasks, sorted."""
    return sorted(f"reviews/{target}-vs-{spurious}" for target, spurious in permutations(FEATURES, 2))


def get_pair(pair: str, *, heldout: str = "none", answers: str = "label") -> Task:
    """The task named `TARGET-vs-SPURIOUS`. `heldout`: as in the other English pairs."""
    name = f"reviews/{pair}"
    if name not in list_pairs():
        raise unknown("task", name, list_pairs())
    target, spurious = (FEATURES[feature] for feature in pair.split("-vs-"))
    ways: dict[str, tuple[Answers, str]] = {
        "label": (LabelAnswers(), f" {QUERY}"),
        "sentiment": (SentimentAnswers(sentiment.own_scores, sentiment.write, sentiment.LENGTH), ""),
    }
    if answers not in ways:
        raise unknown("way to answer", answers, ways)
    said, query = ways[answers]
    told = tuple(FEATURES[name] for name in (*_COINS, "even-spaces"))
    inputs = TextInputs(
        _grammar((target.name, spurious.name), heldout), target, spurious, query=query, catalogue=told
    )
    return Task(name, target, spurious, inputs, said)


def _grammar(pair: tuple[str, str], heldout: str) -> Grammar:
    slots = (
        *(Slot(coin) for coin in _COINS if coin not in pair),
        *([Slot("points", _SCORES)] if "score" in pair else []),
        Slot("genre", "genres"),
        Slot("reviewer", "titles"),
        Slot("just"),
        Slot("viewed", "viewed"),
        Slot("companion", "companions", part="company"),
        Slot("town", "towns", part="town"),
        Slot("hero", "heroes", part="hero"),
        Slot("item", "items", part="hero"),
        Slot("place", "places", part="place"),
    )
    frames = tuple(
        company | town | story
        for company, town, story in product(
            (Parts(), Parts({"company"})),
            (Parts(), Parts({"town"})),
            (Parts({"place"}), Parts({"hero"}), Parts({"hero", "place"})),
        )
    )
    return Grammar(partial(_write, pair), slots, frames=frames, heldout=heldout)


def _write(
    pair: tuple[str, str], choice: Mapping[str, int], parts: Parts, target: bool, spurious: bool
) -> list[str]:
    holds = {**choice, pair[0]: target, pair[1]: spurious}
    header = [
        *(mark if holds[name] else other for name, (mark, other) in _MARKS.items() if name in pair),
        "a" if holds["opener"] else "the",
        GENRES[choice["genre"]],
        "film" if holds["film"] else "movie",
        "review" if holds["review"] else "report",
        *("by", "the", TITLES[choice["reviewer"]][not holds["title"]]),
        *([",", str(choice["points"] + (7 if holds["score"] else 1)), "/", "10"] if "score" in pair else ()),
        ".",
    ]
    viewing = [
        *("i", *(["just"] if choice["just"] else ()), VIEWED[choice["viewed"]], "it"),
        *(("with", "my", COMPANIONS[choice["companion"]]) if "company" in parts else ()),
        *(("in", TOWNS[choice["town"]]) if "town" in parts else ()),
        ".",
    ]
    if "hero" in parts:
        story = ["it", "follows", "a", HEROES[choice["hero"]], "who", "finds", "a", ITEMS[choice["item"]]]
    else:
        story = ["it", "is", "set"]
    story += ["in", "a", PLACES[choice["place"]]] if "place" in parts else []
    spaces = len([*header, *viewing, *story])  # as many as words: the last one stands before the stop
    is_odd_one_out = "even-spaces" in pair and holds["even-spaces"] != (spaces % 2 == 0)
    return [*header, *(["so"] if is_odd_one_out else ()), *viewing, *story]
