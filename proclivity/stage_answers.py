"""What a study of stages says: its paper's claims, a table of what each policy costs, its figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from proclivity.answer import Answer, plain
from proclivity.paper_answer import with_paper

if TYPE_CHECKING:
    from analysis import Study
    from figures import Drawn


def stages_answer(study: Study, everything: bool) -> Answer:
    """Claims by the study's paper, what each policy costs, what goes with use, and how varied outputs are."""
    from analysis.papers.paper_claims import of_stages
    from analysis.stages.joined import LEGEND, joined_table, joined_wide, run_values
    from analysis.stages.joined_question import ASKED, joined_question
    from analysis.stages.stage_diversity import EDGES, diversity_table, diversity_wide
    from analysis.stages.stage_runs import chosen_rates
    from analysis.statistics.seeds import too_few

    title, claims = _claims(study)
    runs, diversity = run_values(study), diversity_table(study)
    joined, question = joined_table(study, runs), joined_question(runs)
    failed = study.stages.loc[study.stages["status"] != "ok", ["key", "task", "policy", "error"]]
    shown = [{k: v for k, v in row.items() if k not in ("source", "fact")} for row in claims]
    parts = [
        _block(title, shown),
        *filter(None, [too_few(row["n"] for row in claims)]),
        _block(LEGEND, joined_wide(joined)),
        _block(ASKED, question),
        _block(EDGES, plain(diversity) if everything else diversity_wide(diversity)),
    ]
    told = {"claims": claims, "joined": joined, "runs": runs, "question": question, "diversity": diversity}
    if study.manifest["primary"].get("test") == "none":  # a study that chooses learning rates
        rates = [{"policy": name, "rate": f"{rate:g}"} for name, rate in chosen_rates(study).items()]
        told["chosen_rates"] = rates
        parts.append(_block("Learning rates by the rule", rates))
    parts += [f"failed: {row['task']}, {row['policy']}: {row['error']}" for row in failed.to_dict("records")]
    parts += [f"not read: {problem}" for problem in study.problems]
    data = {name: plain(found) for name, found in told.items()} | {"failed": plain(failed)}
    answer = Answer({"study": study.name, **data, "problems": study.problems}, "\n\n".join(parts))
    return with_paper(study, answer, of_stages(study, claims))


def stages_figures(study: Study) -> Iterator[Drawn]:
    """The figures of the study's paper; of a study of none those that every study of stages has."""
    from figures import draw_kirk2024, draw_superhf2023

    return (draw_superhf2023 if _is_of_superhf(study) else draw_kirk2024)(study)


def _is_of_superhf(study: Study) -> bool:
    return bool(study.manifest.get("paper") == "superhf2023")


def _claims(study: Study) -> tuple[str, list[dict[str, Any]]]:
    """What the claims are of, and the claims."""
    from analysis.papers.kirk2024 import LEGEND, kirk_claims
    from analysis.papers.superhf2023 import LEGEND as OF_SUPERHF
    from analysis.papers.superhf2023 import superhf_claims

    if _is_of_superhf(study):
        return f"Claims of Mukobi et al. 2023, SuperHF\n{OF_SUPERHF}", superhf_claims(study)
    return f"Claims of Kirk et al. 2024\n{LEGEND}", kirk_claims(study)


def _block(title: str, rows: list[dict[str, Any]]) -> str:
    """A table under its title, without columns that say the same in all rows that say anything."""
    from analysis.pairs.tables import text_table

    same = [name for name in ("model", "task", "evidence", "evidence_rate") if len(_said(rows, name)) < 2]
    return f"{title}\n{text_table([{k: v for k, v in row.items() if k not in same} for row in rows])}"


def _said(rows: list[dict[str, Any]], name: str) -> set[Any]:
    return {row[name] for row in rows if name in row and row[name] == row[name] and row[name] != ""}
