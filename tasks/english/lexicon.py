"""The words, by what they can do in a sentence. No form belongs to two classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple


class Noun(NamedTuple):
    singular: str
    plural: str


class Verb(NamedTuple):
    third: str
    """Present with a third person singular subject."""
    plain: str
    """Present with any other subject."""
    past: str
    participle: str


def _nouns(singulars: str, irregular: Sequence[tuple[str, str]] = ()) -> tuple[Noun, ...]:
    return tuple(Noun(word, word + "s") for word in singulars.split()) + tuple(Noun(*n) for n in irregular)


def _verbs(lines: str) -> tuple[Verb, ...]:
    """One verb a line: third, plain, past, and a participle where it is not the past form."""
    forms = [line.split() for line in lines.strip().splitlines()]
    return tuple(Verb(form[0], form[1], form[2], form[-1]) for form in forms)


PEOPLE = _nouns(
    """
    artist baker banker barber biologist carpenter chef chemist clerk composer dancer dentist detective
    diver driver economist editor electrician farmer firefighter florist gardener historian janitor jeweler
    journalist juggler lawyer librarian magician mechanic musician novelist optician painter pharmacist
    photographer pianist plumber poet professor reporter sailor sculptor senator singer surgeon swimmer
    teacher violinist waiter weaver writer
    """,
    [("fisherman", "fishermen"), ("policewoman", "policewomen")],
)
"""None is a verb as well, so that no plural reads as one."""

RELATIONS = _nouns(
    """
    friend cousin neighbor colleague uncle aunt nephew niece brother sister grandson granddaughter
    grandfather grandmother roommate classmate teammate assistant student pupil employee employer client
    customer follower supporter opponent admirer acquaintance landlord tenant bodyguard predecessor
    descendant daughter son
    """
)
"""Nouns at home in `the ... of the poet`."""

STRICT_TRANSITIVES = _verbs(
    """
    accompanies accompany accompanied
    admires admire admired
    adores adore adored
    antagonizes antagonize antagonized
    appeases appease appeased
    avoids avoid avoided
    befriends befriend befriended
    blames blame blamed
    cherishes cherish cherished
    commends commend commended
    compliments compliment complimented
    congratulates congratulate congratulated
    consoles console consoled
    contradicts contradict contradicted
    defies defy defied
    despises despise despised
    detests detest detested
    dislikes dislike disliked
    disregards disregard disregarded
    emulates emulate emulated
    envies envy envied
    escorts escort escorted
    flatters flatter flattered
    forsakes forsake forsook forsaken
    greets greet greeted
    idolizes idolize idolized
    ignores ignore ignored
    loathes loathe loathed
    mimics mimic mimicked
    mistrusts mistrust mistrusted
    outsmarts outsmart outsmarted
    outwits outwit outwitted
    overlooks overlook overlooked
    pampers pamper pampered
    pesters pester pestered
    pities pity pitied
    praises praise praised
    rebukes rebuke rebuked
    reprimands reprimand reprimanded
    resents resent resented
    respects respect respected
    reveres revere revered
    shuns shun shunned
    snubs snub snubbed
    thanks thank thanked
    tolerates tolerate tolerated
    underestimates underestimate underestimated
    welcomes welcome welcomed
    """
)
"""People on both sides, and no reading at all without an object, with plural subjects neither (unlike `the
poets met`, `the poets scold`, `the poets amuse`)."""

TRANSITIVES = (
    *STRICT_TRANSITIVES,
    *_verbs(
        """
        alarms alarm alarmed
        amazes amaze amazed
        amuses amuse amused
        annoys annoy annoyed
        astonishes astonish astonished
        baffles baffle baffled
        bewilders bewilder bewildered
        captivates captivate captivated
        charms charm charmed
        comforts comfort comforted
        dazzles dazzle dazzled
        distracts distract distracted
        embarrasses embarrass embarrassed
        enchants enchant enchanted
        encourages encourage encouraged
        exasperates exasperate exasperated
        fascinates fascinate fascinated
        frightens frighten frightened
        frustrates frustrate frustrated
        infuriates infuriate infuriated
        irritates irritate irritated
        misleads mislead misled
        reassures reassure reassured
        scolds scold scolded
        soothes soothe soothed
        startles startle startled
        surprises surprise surprised
        unsettles unsettle unsettled
        """
    ),
)
"""People on both sides."""

QUESTION_VERBS = _verbs(
    """
    announces announce announced
    clarifies clarify clarified
    confirms confirm confirmed
    deduces deduce deduced
    determines determine determined
    discloses disclose disclosed
    discovers discover discovered
    divulges divulge divulged
    establishes establish established
    explains explain explained
    forgets forget forgot forgotten
    guesses guess guessed
    indicates indicate indicated
    knows know knew known
    learns learn learned
    notices notice noticed
    realizes realize realized
    reveals reveal revealed
    sees see saw seen
    understands understand understood
    """
)
"""Take `that ...` and `who ...` alike."""

CLAUSE_VERBS = _verbs(
    """
    acknowledges acknowledge acknowledged
    admits admit admitted
    believes believe believed
    doubts doubt doubted
    fears fear feared
    hears hear heard
    imagines imagine imagined
    mentions mention mentioned
    observes observe observed
    recalls recall recalled
    recognizes recognize recognized
    remembers remember remembered
    reports report reported
    suspects suspect suspected
    trusts trust trusted
    """
)
"""Take `that ...`, out of which one can ask, and a person as well."""

INTRANSITIVES = _verbs(
    """
    apologizes apologize apologized
    blushes blush blushed
    complains complain complained
    cries cry cried
    dances dance danced
    frowns frown frowned
    giggles giggle giggled
    hesitates hesitate hesitated
    laughs laugh laughed
    panics panic panicked
    relaxes relax relaxed
    resigns resign resigned
    shivers shiver shivered
    sighs sigh sighed
    smiles smile smiled
    sneezes sneeze sneezed
    snores snore snored
    stumbles stumble stumbled
    whispers whisper whispered
    yawns yawn yawned
    """
)
"""What people do, the first ones for a reason."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TIME_ADVERBS = _words(
    """
    again currently frequently now nowadays occasionally often periodically presently regularly repeatedly
    sometimes today tonight usually
    """
)
OTHER_ADVERBS = _words(
    """
    apparently clearly curiously evidently fortunately frankly honestly interestingly luckily naturally
    obviously oddly reportedly strangely supposedly
    """
)
"""As many as there are time adverbs: one stands in the place of the other."""

MANNERS = _words(
    """
    boldly briefly casually constantly discreetly genuinely lately openly plainly quietly recently secretly
    simply suddenly visibly
    """
)
"""Adverbs between auxiliary and participle, as good under negation as without."""

ENDINGS = tuple(
    tuple(line.split())
    for line in """
    after class
    after dinner
    at concerts
    at home
    at night
    at parties
    at school
    at work
    during lunch
    during rehearsals
    in meetings
    in private
    in public
    in summer
    in winter
    on campus
    on holidays
    on trips
    on weekends
    over breakfast
    """.strip().splitlines()
)
"""Two words each, at home with present, past and perfect."""

CONJUNCTIONS = ("and", "but", "yet")

Entry = Noun | Verb | str | tuple[str, ...]
CLASSES: dict[str, Sequence[Entry]] = {
    "people": PEOPLE,
    "relations": RELATIONS,
    "transitives": TRANSITIVES,
    "strict transitives": STRICT_TRANSITIVES,
    "question verbs": QUESTION_VERBS,
    "clause verbs": CLAUSE_VERBS,
    "intransitives": INTRANSITIVES,
    "adverbs": TIME_ADVERBS,
    "manners": MANNERS,
    "endings": ENDINGS,
}
"""The classes of which words can be held out."""


@cache
def noun_numbers() -> dict[str, bool]:
    """Whether a noun form is plural."""
    nouns = (*PEOPLE, *RELATIONS)
    return {noun.singular: False for noun in nouns} | {noun.plural: True for noun in nouns}


@cache
def verb_forms() -> dict[str, tuple[bool, bool]]:
    """(past, agrees with a plural) of each finite form; past forms agree with everything."""
    out: dict[str, tuple[bool, bool]] = {}
    for verb in (*TRANSITIVES, *QUESTION_VERBS, *CLAUSE_VERBS, *INTRANSITIVES):
        out |= {verb.third: (False, False), verb.plain: (False, True), verb.past: (True, True)}
    return out
