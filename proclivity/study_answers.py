"""What a study says, by what it is a study of: its tables, as text and as JSON, and its figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING, Any

from proclivity.answer import Answer, plain
from proclivity.paper_answer import with_paper
from proclivity.stage_answers import stages_answer, stages_figures

if TYPE_CHECKING:
    from analysis import Study
    from figures import Drawn

MANY = 50
"""Rows from which on a table is printed with --all alone."""


def tables_of(study: Study, *, everything: bool = False) -> Answer:
    """The tables of a study, what was left out of them, and what was not read; the paper's claims last.

    First of all stands whether its primary test was changed.
    """
    from analysis.primary import changed, late

    answer = _tables_of(study, everything)
    doubts = {"primary_changed": changed(study.manifest), "primary_late": late(study)}
    told = {name: line for name, line in doubts.items() if line}
    return Answer({**answer.data, **told}, "\n\n".join([*told.values(), answer.text]))


def _tables_of(study: Study, everything: bool) -> Answer:
    from analysis.pairs.development import is_development
    from analysis.pairs.learning import is_of_learning
    from analysis.papers.lengths import is_of_lengths
    from analysis.papers.tajwar2024 import has_bandits
    from analysis.probes_table import is_of_probes
    from analysis.stages.stages import has_stages

    if has_stages(study):
        return stages_answer(study, everything)
    if is_of_lengths(study):
        return _of_lengths(study)
    if has_bandits(study):
        return _of_bandits(study)
    if is_of_probes(study):
        return _of_probes(study)
    if is_development(study):
        return _of_development(study)
    return _of_learning(study) if is_of_learning(study) else _of_pairs(study, everything)


def _of_development(study: Study) -> Answer:
    """Which learning rate each method is given."""
    from analysis.pairs.development import chosen_rates
    from analysis.pairs.tables import text_table

    rates = plain(chosen_rates(study))
    return Answer({"study": study.name, "learning_rates": rates}, f"Learning rates\n{text_table(rates)}")


def _of_probes(study: Study) -> Answer:
    """What was probed."""
    from analysis.pairs.tables import text_table
    from analysis.probes_table import probes_table

    found = plain(probes_table(study))
    parts = [f"Probed\n{text_table(found)}", *(f"not read: {problem}" for problem in study.problems)]
    return Answer({"study": study.name, "probed": found, "problems": study.problems}, "\n".join(parts))


def _of_learning(study: Study) -> Answer:
    """What was learnt at all."""
    from analysis.pairs.learning import accuracy_table
    from analysis.pairs.tables import text_table

    learnt = plain(accuracy_table(study))
    return Answer({"study": study.name, "learnt": learnt}, f"Learnt\n{text_table(learnt)}")


def _of_pairs(study: Study, everything: bool) -> Answer:
    """The claims about pairs of features, and the tables behind them."""
    from analysis.failed import failed_jobs
    from analysis.pairs.claims import claims, exclusions, learnt_share
    from analysis.pairs.comparison import compares_methods, explained, methods_table
    from analysis.pairs.dials import dialled_feature, trends_of_bits, trends_of_use
    from analysis.pairs.lovering2021 import evidence_required, is_of_paper
    from analysis.pairs.other_intervals import other_intervals
    from analysis.pairs.pairs import learnable
    from analysis.pairs.power import power_of
    from analysis.pairs.regressions import regressions, regressions_text
    from analysis.pairs.tables import claims_text, text_table
    from analysis.papers.lovering_correlations import LEGEND, lovering_table
    from analysis.papers.paper_claims import of_pairs

    rows = claims(study)
    found = power_of(rows[0]) if rows and rows[0].primary else None
    others = plain(other_intervals(rows[0])) if rows and rows[0].primary else []
    left_out = plain(exclusions(study))
    learnt = plain(learnt_share(study))
    data = {
        "study": study.name,
        "claims": [row.to_dict() for row in rows],
        "left_out": left_out,
        "learnt": learnt,
        "problems": study.problems,
        "power": found and asdict(found),
        "intervals": others,
    }
    more = {}
    if is_of_paper(study):
        more["Evidence required"] = evidence_required(study)
    if dialled_feature(study):
        more["Use of the dialled feature"] = trends_of_use(study)
        more["Bits a label"] = trends_of_bits(study)
    if compares_methods(study):
        more["Methods"] = methods_table(study)
        more["What the columns explain"] = explained(study)
    more["Failed"] = failed_jobs(study)
    tables = {title: plain(found) for title, found in more.items() if len(found)}
    found_by_them = lovering_table(study)
    fits, lovering = plain(regressions(study)), plain(found_by_them)
    data |= {title.lower().replace(" ", "_"): found for title, found in tables.items()}
    data |= {"regressions": fits, "lovering": lovering}
    parts = [
        claims_text(rows, everything=everything),
        *([f"Primary test, {found}"] if found else []),
        *([f"Primary test, its interval by other ways\n{text_table(others)}"] if others else []),
        "Left out at the lowest evidence, by rule\n" + text_table([row for row in left_out if row["runs"]]),
        "Learnt at the lowest evidence, of pairs with both features learnable\n" + text_table(learnt),
        *(
            f"{title}\n{text_table(found)}"
            for title, found in tables.items()
            if everything or len(found) < MANY
        ),
        *([f"Regressions\n{regressions_text(fits)}"] if everything else []),
        *([f"Lovering's analysis\n{text_table(lovering)}\n\n{LEGEND}"] if everything and lovering else []),
        *([] if learnable(study) else ["No learnability list for these models: no pair is left out by it."]),
        *(f"not read: {problem}" for problem in study.problems),
    ]
    return with_paper(study, Answer(data, "\n\n".join(parts)), of_pairs(study, rows, found_by_them))


def _of_bandits(study: Study) -> Answer:
    """The takeaways of a study of bandits, and the learning rates that its cells took."""
    from analysis.pairs.tables import text_table
    from analysis.papers.paper_claims import of_bandits
    from analysis.papers.tajwar2024 import chosen_rates, takeaways, takeaways_text
    from analysis.statistics.seeds import too_few

    rows, rates = takeaways(study), chosen_rates(study)
    failed = study.bandits.loc[study.bandits["status"] == "failed", ["problem", "method", "error"]]
    data = {
        "study": study.name,
        "takeaways": [row.to_dict() for row in rows],
        "rates": plain(rates),
        "failed": plain(failed),
        "problems": study.problems,
    }
    edge = f"{int(rates['edge'].sum())} of {len(rates)} at an edge of what was tried"
    parts = [
        takeaways_text(rows),
        *filter(None, [too_few(row.n for row in rows)]),
        f"Learning rates chosen on development seeds ({edge})\n" + text_table(plain(rates)),
        *([f"Failed\n{text_table(plain(failed))}"] if len(failed) else []),
        *(f"not read: {problem}" for problem in study.problems),
    ]
    return with_paper(study, Answer(data, "\n\n".join(parts)), of_bandits(rows))


def _of_lengths(study: Study) -> Answer:
    """The paper's claims on problems of length, beside what all methods came to."""
    from analysis.pairs.tables import text_table
    from analysis.papers.lengths import (
        BY_EYE,
        SMALLEST,
        chosen_rates,
        data_table,
        length_claims,
        results_table,
    )
    from analysis.papers.paper_claims import of_lengths
    from analysis.statistics.seeds import too_few

    failed = study.texts[study.texts["status"] != "ok"]
    claims, results, data = length_claims(study), plain(results_table(study)), plain(data_table(study))
    shown = [
        {
            name: "yes" if value is True else value
            for name, value in row.items()
            if name not in ("source", "fact")
        }
        for row in claims
    ]
    titles = {
        f"Differences of gold reward over seeds, in words; smallest effect of interest {SMALLEST:g}\n"
        f"paper: {BY_EYE}; 'more': stated in words": shown,
        "At the end, means over seeds; low and high: 95 % interval of gold over seeds": results,
        "Preference pairs, and how often a reward model orders held-out ones as the gold reward does": data,
    }
    told: dict[str, Any] = {"study": study.name, "claims": plain(claims), "results": results, "data": data}
    if study.manifest["primary"].get("test") == "none":  # a study that chooses learning rates
        told["rates"] = chosen_rates(study)
        titles["Learning rates by the rule"] = [
            {"method": name, "rate": f"{rate:g}"} for name, rate in told["rates"].items()
        ]
    parts = [f"{title}\n{text_table(rows)}" for title, rows in titles.items()]
    parts += filter(None, [too_few(row["n"] for row in claims)])
    parts += [f"not read: {problem}" for problem in study.problems]
    parts += [f"failed: {row['task']}, {row['method']}: {row['error']}" for row in failed.to_dict("records")]
    answer = Answer({**told, "problems": study.problems}, "\n\n".join(parts))
    return with_paper(study, answer, of_lengths(claims))


def figures_of(study: Study) -> Iterator[Drawn]:
    """A study's figures, one after the other."""
    from analysis.pairs.comparison import compares_methods
    from analysis.pairs.dials import dialled_feature
    from analysis.pairs.inheritance import of_rewards
    from analysis.pairs.lovering2021 import is_of_paper
    from analysis.papers.lengths import is_of_lengths
    from analysis.papers.tajwar2024 import has_bandits
    from analysis.stages.stages import has_stages
    from figures import (
        draw_cruz2023,
        draw_dials,
        draw_inheritance,
        draw_lengths,
        draw_lovering2021,
        draw_methods,
        draw_tajwar2024,
    )

    if has_stages(study):
        return stages_figures(study)
    if has_bandits(study):
        return draw_tajwar2024(study)
    if is_of_lengths(study):
        return draw_lengths(study)
    if compares_methods(study):
        return draw_methods(study)
    if dialled_feature(study):
        return draw_dials(study)
    if of_rewards(study):
        return draw_inheritance(study)
    return chain(draw_cruz2023(study), draw_lovering2021(study) if is_of_paper(study) else [])
