"""The words of reviews. Of a prompt's, none says whether the film was liked; of a continuation's, some do."""

from __future__ import annotations

from collections.abc import Sequence


def _words(lines: str) -> tuple[str, ...]:
    return tuple(lines.split())


TITLES = (
    *(("admiral", "busboy"), ("ambassador", "cleaner"), ("astronaut", "dishwasher"), ("banker", "doorman")),
    *(("barrister", "cashier"), ("bishop", "farmhand"), ("cardiologist", "handyman")),
    *(("chancellor", "housekeeper"), ("diplomat", "janitor"), ("governor", "laborer"), ("judge", "maid")),
    *(("minister", "packer"), ("physicist", "porter"), ("professor", "ragpicker"), ("senator", "servant")),
    *(("surgeon", "stevedore"), ("treasurer", "sweeper"), ("viceroy", "waiter"), ("president", "busker")),
    *(("chairwoman", "usher"),),
)
"""A title of high standing, and a humble one."""

GENRES = _words(
    """
    western heist spy robot pirate samurai dance cooking travel nature school music fantasy cowboy courtroom
    baseball space ballet safari viking railway wizard desert chess
    """
)
VIEWED = _words(
    """
    watched saw viewed rented streamed borrowed caught ordered downloaded recorded finished rewatched bought
    chose discussed
    """
)
COMPANIONS = _words(
    """
    sister brother cousin nephew niece aunt uncle mother father daughter son neighbor roommate classmate
    colleague teammate landlord tenant grandfather grandmother
    """
)
TOWNS = _words(
    """
    boston chicago denver dallas seattle houston atlanta london paris berlin madrid rome vienna dublin oslo
    lisbon athens prague cairo delhi tokyo sydney toronto geneva
    """
)
HEROES = _words(
    """
    sailor detective painter baker violinist farmer gardener drummer librarian carpenter dentist tailor
    magician reporter lawyer sculptor novelist mechanic photographer chemist barber nurse pilot juggler
    """
)
ITEMS = _words(
    """
    map letter key diary painting coin compass violin necklace camera suitcase ladder lantern clock ticket
    passport telescope notebook basket mirror
    """
)
PLACES = _words(
    """
    castle village harbor forest library museum lighthouse monastery market factory hotel cabin theater
    hospital garden palace station bakery valley canyon
    """
)

CLASSES: dict[str, Sequence[str | tuple[str, ...]]] = {
    "titles": TITLES,
    "genres": GENRES,
    "viewed": VIEWED,
    "companions": COMPANIONS,
    "towns": TOWNS,
    "heroes": HEROES,
    "items": ITEMS,
    "places": PLACES,
}
"""The classes of which words can be held out. The words after `a` begin with a consonant."""

ASPECTS = _words(
    """
    acting plot ending music dialogue pacing story script casting editing lighting photography soundtrack
    opening direction scenery choreography narration finale premise
    """
)
QUALITIES = (
    _words(
        """
        dull awful terrible boring clumsy dreadful tedious lazy stupid ugly weak bland horrible sloppy
        pointless shallow lifeless messy dreary stale
        """
    ),
    _words(
        """
        superb wonderful brilliant delightful charming gripping moving witty clever stunning excellent
        fantastic splendid lovely marvelous touching thrilling inspired graceful polished
        """
    ),
)
"""Of what was disliked, and of what was liked."""
VERDICTS = (
    _words(
        """
        hated disliked loathed detested despised resented deplored regretted endured mocked scorned criticized
        ridiculed abhorred condemned
        """
    ),
    _words(
        """
        loved enjoyed adored cherished admired relished savored treasured praised applauded liked welcomed
        appreciated celebrated favored
        """
    ),
)
"""What was done by one who disliked it, and by one who liked it."""
