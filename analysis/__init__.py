"""What came of it: records, use, statistics, claims.

Names are resolved on first use, so that a store can be read without loading scipy.
"""

from typing import TYPE_CHECKING

from tasks.first_use import on_first_use

if TYPE_CHECKING:
    from analysis.pairs.claims import ClaimRow, claims, primary_claim
    from analysis.pairs.contrasts import dial_contrasts, needed_table
    from analysis.pairs.evidence_needed import Needed, evidence_needed, ordinal_scores
    from analysis.pairs.pairs import RULES, exclusions, learnable, learnt_share, pairs_table
    from analysis.pairs.tables import claims_text, text_table
    from analysis.records import SCHEMA, CellRecord, ProbeRecord, RunRecord, Study, read_study, write_compact
    from analysis.statistics.association import auc, mean, partial_spearman, slope, spearman
    from analysis.statistics.decisions import equivalence, holm, status
    from analysis.statistics.dyadic import Dyads, dyads
    from analysis.statistics.estimate import (
        Estimate,
        dyadic_jackknife,
        estimate,
        family_jackknife,
        node_bootstrap,
    )
    from analysis.statistics.permutation import Permuted, dyadic_permutation
    from analysis.use import REACHED, QuadrantCounts, Reliance, Use, reliance, use_of, wilson

__all__ = [
    "REACHED",
    "RULES",
    "SCHEMA",
    "CellRecord",
    "ClaimRow",
    "Dyads",
    "Estimate",
    "Needed",
    "Permuted",
    "ProbeRecord",
    "QuadrantCounts",
    "Reliance",
    "RunRecord",
    "Study",
    "Use",
    "auc",
    "claims",
    "claims_text",
    "dial_contrasts",
    "dyadic_jackknife",
    "dyadic_permutation",
    "dyads",
    "equivalence",
    "estimate",
    "evidence_needed",
    "exclusions",
    "family_jackknife",
    "holm",
    "learnable",
    "learnt_share",
    "mean",
    "needed_table",
    "node_bootstrap",
    "ordinal_scores",
    "pairs_table",
    "partial_spearman",
    "primary_claim",
    "read_study",
    "reliance",
    "slope",
    "spearman",
    "status",
    "text_table",
    "use_of",
    "wilson",
    "write_compact",
]

_ROOMS = {
    "pairs.claims": ["ClaimRow", "claims", "primary_claim"],
    "pairs.contrasts": ["dial_contrasts", "needed_table"],
    "pairs.evidence_needed": ["Needed", "evidence_needed", "ordinal_scores"],
    "pairs.pairs": ["RULES", "exclusions", "learnable", "learnt_share", "pairs_table"],
    "pairs.tables": ["claims_text", "text_table"],
    "records": ["SCHEMA", "CellRecord", "ProbeRecord", "RunRecord", "Study", "read_study", "write_compact"],
    "statistics.association": ["auc", "mean", "partial_spearman", "slope", "spearman"],
    "statistics.decisions": ["equivalence", "holm", "status"],
    "statistics.dyadic": ["Dyads", "dyads"],
    "statistics.estimate": ["Estimate", "dyadic_jackknife", "estimate", "family_jackknife", "node_bootstrap"],
    "statistics.permutation": ["Permuted", "dyadic_permutation"],
    "use": ["REACHED", "QuadrantCounts", "Reliance", "Use", "reliance", "use_of", "wilson"],
}

if not TYPE_CHECKING:  # where it is seen, every misspelt name has a type
    __getattr__, __dir__ = on_first_use(__name__, _ROOMS)
