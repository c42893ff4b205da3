"""What a study is: one YAML file that names its question, its grid and its one primary test."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from proclivity.bandit_study import BanditStudy
from proclivity.stage_study import StageStudy
from proclivity.strict import Document, Plain, build
from proclivity.study_head import Paper, Resources, Scale, check_name, definition_of
from proclivity.text_study import TextStudy
from tasks import QUADRANTS, Evidence
from tasks.errors import UserError, seed_or_error, unknown

Inputs = Literal["model", "untrained", "raw"]
BRADLEY_TERRY = "bradley-terry"
"""What stands in the place of a method where a reward model is trained."""


TESTED: dict[str, dict[str, tuple[str, ...]]] = {
    "family_permutation": {
        "H1a": ("spearman", "partial_spearman", "auc", "slope"),
        "H1b": ("spearman", "slope"),
        "H2": ("spearman", "partial_spearman"),
        "average": ("spearman",),
        "methods": ("slope",),
    },
    "level_permutation": {"H1b": ("trend",)},
    "pair_permutation": {"inherits": ("slope",)},
    "dyadic_robust": {"H1b": ("slope",)},
}
"""The claims and statistics that each of these tests goes with."""


@dataclass(frozen=True)
class Primary:
    """The one test that the study stands on, written down before it runs."""

    claim: Literal["H1a", "H1b", "H2", "average", "methods", "inherits", "learnability", "development"]
    """Which claim."""
    arm: str
    """The arm whose runs are tested."""
    method: str
    """The method whose runs are tested."""
    statistic: Literal["spearman", "partial_spearman", "auc", "slope", "trend", "accuracy", "reward"]
    """What is computed."""
    test: Literal[
        "family_permutation", "level_permutation", "pair_permutation", "dyadic_robust", "threshold", "none"
    ]
    """How it is judged: by a permutation of families (with its interval), of a dial's levels within
    pre-training seeds, of reward models within pairs, by errors that allow for families and models that rows
    share, by reaching a threshold, or not."""
    pairs: Literal["learnable", "primary", "both-learnable", "target-learnable", "all"]
    """Which pairs enter. `learnable` and `primary` are the same: those that no rule leaves out."""

    def __post_init__(self) -> None:
        goes = TESTED.get(self.test, {})
        if goes and self.statistic not in goes.get(self.claim, ()):
            told = "; ".join(
                f"claim {claim}, statistic {' or '.join(known)}" for claim, known in goes.items()
            )
            wrong = f"claim {self.claim}, statistic {self.statistic}"
            raise UserError(f"test: {self.test} goes with {told}; not with {wrong}")


@dataclass(frozen=True)
class Pairs:
    """Which tasks: a uniform draw from the catalogue, or a list."""

    draw: int = 0
    """How many pairs to draw without replacement."""
    seed: int = 0
    """Seed of the draw. With one seed a smaller draw is the beginning of a larger one."""
    from_: str = field(default="symbolic", metadata={"key": "from"})
    """The part of the catalogue to draw from: names that begin with this and a slash."""
    list: tuple[str, ...] = ()
    """Tasks by name, in place of a draw."""

    def __post_init__(self) -> None:
        if (self.draw > 0) == bool(self.list):
            raise UserError("give either 'draw' (at least 1) or 'list'")
        seed_or_error(self.seed)
        if len(set(self.list)) < len(self.list):
            raise UserError("list: names a task twice")


@dataclass(frozen=True)
class Probe:
    """How the references are probed."""

    n: int = 2000
    """Rows, a quarter a quadrant."""
    layers: str = "last"
    """`last`, `all`, or indices such as `0,6,12`."""
    probe: Literal["linear", "mlp", "finetune", "variational"] = "linear"
    """Kind of probe."""
    inputs: tuple[Inputs, ...] = ("model", "untrained", "raw")
    """What is probed: the reference (`model`), the same model before any training, the raw tokens."""
    shuffles: int = 5
    """Shuffled controls."""
    seed: int = 0
    """Seed of the probe."""
    orders: int = 1
    """Orders of the rows that the labels are coded in; several give an interval."""
    also: tuple[str, ...] = ()
    """Further tasks whose features every model is probed for, and that none is tuned on."""
    beside: tuple[str, ...] = ()
    """Further models that are probed on every task that a model of the same base is tuned on: what features
    cost to another model is a baseline of the claim."""

    frozen: bool = False
    """Also ask which feature a probe that is fitted on both and neither alone goes by on conflict rows."""

    def __post_init__(self) -> None:
        if self.n < 8 or self.n % len(QUADRANTS):
            raise UserError(f"n: must be a multiple of {len(QUADRANTS)}, 8 or more")
        if not re.fullmatch(r"last|all|\d+(,\d+)*", self.layers):
            raise UserError(f"layers: must be last, all, or numbers such as 0,1,2, not {self.layers!r}")
        for name in ("shuffles", "orders"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: must be 1 or more")
        seed_or_error(self.seed)


@dataclass(frozen=True)
class Levels:
    """The levels of evidence of an arm."""

    kind: str = "symmetric"
    """`symmetric`, `one_sided` or `one_sided_balanced`."""
    rates: tuple[float, ...] = (0.0,)
    """k / N at each level."""
    noise: float = 0.0
    """Share of rows whose label is not the target's, at every level."""
    others: tuple[float, ...] = ()
    """Share of rows in which each further spurious feature disagrees with the target, at every level; the
    level's own for those not given."""

    def __post_init__(self) -> None:
        Evidence(kind=self.kind)  # type: ignore[arg-type]
        if not self.rates:
            raise UserError("rates: must name at least one level")
        parts: dict[str, list[dict[str, Any]]] = {
            "rates": [{"kind": self.kind, "rate": rate} for rate in self.rates],
            "noise": [{"noise": self.noise}],
            "others": [{"others": self.others}],
        }
        for name, levels in parts.items():
            try:
                for level in levels:
                    Evidence(**level)
            except UserError as e:
                raise UserError(f"{name}: {e}") from e

    def levels(self) -> list[Evidence]:
        """The evidence at each level."""
        kind: Any = self.kind
        return [Evidence(kind, rate, self.noise, self.others) for rate in self.rates]


@dataclass(frozen=True)
class RewardModel:
    """The reward models that an arm's runs are tuned on, trained by the study itself on preference pairs.

    There is one for every model, task and seed of the arm, and level of this evidence.
    """

    evidence: Levels = field(default_factory=Levels)
    """Levels of evidence in their pairs."""
    half: Literal[0, 1, 2] = 0
    """1 or 2: only pairs of that half of the sources, which share none; 0: of all."""
    ties: float = 0.0
    """Share of their pairs that are of equal reward."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of their training that differ from the study's."""

    def __post_init__(self) -> None:
        if not 0 <= self.ties <= 1:
            raise UserError(f"ties: {self.ties} is outside 0 to 1")


@dataclass(frozen=True)
class Arm:
    """A block of the grid: pairs x methods x levels of evidence x seeds, under one condition."""

    methods: tuple[str, ...]
    """Methods by name."""
    evidence: Levels = field(default_factory=Levels)
    """Levels of evidence."""
    seeds: tuple[int, ...] = (0,)
    """Each seeds the data, the warm-up and the tuning of a run."""
    init: Literal["pretrained", "random"] = "pretrained"
    """Start from the pre-trained model, or from random weights."""
    control: Literal["", "random_reward", "shuffled_labels"] = ""
    """A control in place of the true reward."""
    pairs: str = "all"
    """`all`, or `first N` of the study's pairs."""
    swapped: bool = False
    """Exchange the roles of the two features."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings that differ from the study's."""
    reward_model: RewardModel | None = None
    """Reward models to tune on in place of the gold reward."""

    def __post_init__(self) -> None:
        if self.reward_model and self.control:
            raise UserError("reward_model: a control has none")
        if not self.methods:
            raise UserError("methods: must name at least one method")
        if not self.seeds:
            raise UserError("seeds: must name at least one seed")
        for seed in self.seeds:
            seed_or_error(seed, "seeds")
        self.first(1)

    def first(self, n: int) -> int:
        """How many of n pairs the arm takes."""
        if self.pairs == "all":
            return n
        word, _, count = self.pairs.partition(" ")
        if word != "first" or not count.isdigit() or int(count) < 1:
            raise UserError(f"pairs: must be 'all' or 'first N', not {self.pairs!r}")
        return min(n, int(count))


@dataclass(frozen=True)
class Study:
    """A grid of runs and probes with one primary test."""

    name: str
    """Its name, that of its file."""
    paper: Paper
    """The paper whose claim it tests, if any."""
    question: str
    """The question in a sentence."""
    scale: Scale
    """How large."""
    primary: Primary
    """The primary test."""
    models: dict[str, tuple[str, ...]] | tuple[tuple[str, ...], ...] | tuple[str, ...]
    """Models by name; for `rotate`, groups of models. Or models by the first part of the names of the tasks
    that they can read (`symbolic: [embedded/symbols]`). `{0|1|2}` in a name stands for as many models."""
    pairs: Pairs
    """The tasks."""
    arms: dict[str, Arm]
    """Blocks of the grid, by name."""
    assign: Literal["all", "rotate"] = "all"
    """`all`: every pair on every model. `rotate`: seed s of pair i runs on groups[s % len][i % len(group)]:
    the seeds of a pair visit the groups at the same place in each."""
    probe: Probe = field(default_factory=Probe)
    """How the references are probed."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What every run shares (steps, batch_size, ...). A mapping gives a value for each method."""
    trust_remote_code: bool = False
    """Whether code that comes with a model of a hub or a folder may run; every record says so."""
    resources: Resources = field(default_factory=Resources)
    """What one job asks of the machine that it runs on."""

    def __post_init__(self) -> None:
        check_name(self.name)
        if not self.arms:
            raise UserError("arms: must hold at least one arm")
        if self.primary.arm not in self.arms:
            raise UserError(f"primary: {unknown('arm', self.primary.arm, self.arms)}")
        methods = self.arms[self.primary.arm].methods
        if self.primary.claim == "methods" and (self.primary.method == "sft" or "sft" not in methods):
            raise UserError("primary: the claim methods is of a method other than sft, in an arm with sft")
        if self.primary.method not in methods:
            raise UserError(f"primary: {unknown('method of its arm', self.primary.method, methods)}")
        used = {method for arm in self.arms.values() for method in arm.methods}
        if any(arm.reward_model for arm in self.arms.values()):
            used.add(BRADLEY_TERRY)
        for settings in (self.settings, *(arm.settings for arm in self.arms.values())):
            for name, value in settings.items():
                for method in value if isinstance(value, dict) else ():
                    if method not in used:
                        raise UserError(f"settings: {name}: {unknown('method of an arm', method, used)}")
        if not self.models or not all(self.models):
            raise UserError("models: must name at least one model")
        if isinstance(self.models, dict):
            if self.assign == "rotate" or not all(self.models.values()):
                raise UserError("models: by the first part of tasks' names they are lists, and assign is all")
        elif isinstance(self.models[0], tuple) != (self.assign == "rotate"):
            wanted = "lists of names" if self.assign == "rotate" else "names"
            raise UserError(f"models: assign: {self.assign} takes {wanted}")

    def definition(self) -> dict[str, Any]:
        """The study as plain JSON values, as study.json keeps it."""
        plain = definition_of(self)
        plain["pairs"]["from"] = plain["pairs"].pop("from_")
        # Only where it is used, so that studies without it are the studies they were.
        plain["probe"] = _told(plain["probe"])
        if not self.trust_remote_code:
            del plain["trust_remote_code"]
        for arm in plain["arms"].values():
            judge = arm.pop("reward_model")
            for part in [arm, judge] if judge else [arm]:
                part["evidence"] = {k: v for k, v in part["evidence"].items() if v or k in ("kind", "rates")}
            arm |= {"reward_model": judge} if judge else {}
        return plain


def _told(probe: dict[str, Any]) -> dict[str, Any]:
    """A definition's probe without what came later and is not used."""
    usual = {"orders": 1, "also": [], "beside": [], "frozen": False}
    return {k: v for k, v in probe.items() if k not in usual or v != usual[k]}


@dataclass(frozen=True)
class ProbesOf:
    """The references and tasks of other studies' runs."""

    studies: tuple[str, ...]
    """Shipped studies by name."""
    arms: tuple[str, ...] = ("main", "swapped")
    """Arms whose runs start from pre-trained models and are no controls."""
    draw: int = 0
    """How many of them to draw without replacement; 0: all."""
    seed: int = 0
    """Seed of the draw."""

    def __post_init__(self) -> None:
        if not self.studies:
            raise UserError("studies: must name at least one study")
        if self.draw < 0:
            raise UserError("draw: must be 0 or more")
        seed_or_error(self.seed)


@dataclass(frozen=True)
class NoTest:
    """What a study that tests nothing has in place of a primary test."""

    claim: Literal["probes"] = "probes"
    test: Literal["none"] = "none"


@dataclass(frozen=True)
class ProbeStudy:
    """Probes without runs: what could be measured of other studies' references before they were tuned."""

    name: str
    paper: Paper
    question: str
    scale: Scale
    probes: ProbesOf
    probe: Probe
    """How; `inputs`, `also` and `beside` are not asked: the reference itself is probed."""
    primary: NoTest = field(default_factory=NoTest)
    resources: Resources = field(default_factory=Resources)

    def __post_init__(self) -> None:
        check_name(self.name)

    def definition(self) -> dict[str, Any]:
        """The study as plain JSON values, as study.json keeps it."""
        plain = definition_of(self)
        return {**plain, "probe": _told(plain["probe"])}


AnyStudy = Study | BanditStudy | TextStudy | StageStudy | ProbeStudy
OF_SECTIONS: dict[str, type[BanditStudy] | type[TextStudy] | type[StageStudy] | type[ProbeStudy]] = {
    "probes": ProbeStudy,
    "bandits": BanditStudy,
    "texts": TextStudy,
    "stages": StageStudy,
}
"""What a document with a section is a study of."""


def list_studies() -> list[str]:
    """Names of the shipped studies."""
    folder = resources.files("proclivity") / "studies"
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def load_study(name: str | Path) -> tuple[AnyStudy, Document]:
    """A study by file or by the name of a shipped one, with the document that locates its lines."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise UserError(f"{path}: no such study file")
        document = Document(path)
    elif str(name) in list_studies():
        with resources.as_file(resources.files("proclivity") / "studies" / f"{name}.yaml") as shipped:
            document = Document(shipped)
    else:
        raise unknown("study", name, list_studies())
    return study_of(document), document


def study_of(document: Document) -> AnyStudy:
    """Read a document as a study; one with a section of `OF_SECTIONS` is a study of those."""
    for section, kind in OF_SECTIONS.items():
        if isinstance(document.value, dict) and section in document.value:
            return build(kind, document.value, document)
    return build(Study, document.value, document)


def study_from(definition: object, name: str) -> AnyStudy:
    """Read a definition back from study.json."""
    return study_of(Plain(name, definition))
