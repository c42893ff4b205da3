"""What the five papers claim, what they show for it, and where that was read: facts, and nothing computed.

A fact is named by the key under which the claims of a study answer it. Of papers whose full text was not at
hand the abstract, the authors' pages and code, published data and public notes were read; `source` says
which.

References:
    Lovering et al. 2021 (https://openreview.net/forum?id=mNtmhaDkAr).
    Cruz et al. 2023 (https://arxiv.org/abs/2311.04046).
    Kirk et al. 2024 (https://arxiv.org/abs/2310.06452).
    Tajwar et al. 2024 (https://arxiv.org/abs/2404.14367).
    Mukobi et al. 2023 (https://arxiv.org/abs/2310.16763).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

IN_WORDS = "in words, no figure read"
EQUAL = "no difference"
"""Where a paper finds none, its finding is 'too small to matter' here."""
OTHER_STUDY = "another study of this paper asks it"
NO_RUNS = "the study has no runs that ask it"
AGAINST = "against what they say"


@dataclass(frozen=True)
class Fact:
    """One claim of a paper."""

    figure: str
    """Figure, table or section."""
    claim: str
    shown: str
    """The published figure; `-` where none was read."""
    source: str
    """Where it was read."""
    missing: str = NO_RUNS
    """Why a study has no figure beside it, if it has none."""


NOTHING = Fact("", "", "-", "")
Facts = Mapping[str, Fact]

_PAGE = "authors' page and plotting script"
_RATIO = "MDL(spurious) / MDL(target) of the toys' LSTM on the authors' page"
_NOT_ORDERED = "a target feature at chance gives .001 by their code, so that such ratios order nothing"
LOVERING: Facts = {
    "average": Fact(
        "correlation table",
        "mean F-score over rates rises with MDL(spurious) / MDL(target), Spearman",
        ".79 BERT, .83 RoBERTa, .57 T5, .73 GPT-2 (all p < .05); .14 GloVe (not)",
        f"{_PAGE}; 20 pairs of 3 phenomena taken as independent, uncorrected; RoBERTa's MDL adds up batch "
        "means, which caps its ratios at 8.3",
    ),
    "controlled": Fact(
        "correlation table, controlled",
        "the same on pairs of which both probes' accuracy is above .9",
        "-",
        "no figure read; two of their pairs cannot pass: 60 % of gap-plural's neither rows have the spurious "
        "feature",
        "the study has no runs of several rates of one-sided evidence",
    ),
    "absolute": Fact(
        "correlation table",
        "the relative measure correlates better than either feature's own",
        "relative above absolute",
        f"{_PAGE}, {IN_WORDS}",
        "features' own bits are not correlated with error here",
    ),
    "evidence": Fact(
        "evidence-required table",
        "less evidence is required where the target is the easier feature",
        "less, " + IN_WORDS,
        "their code correlates the mean F-score over rates with F > .99, not the least such rate",
    ),
    "auc": Fact(
        "AUC table",
        "area under the probe's validation loss, spurious over target, against mean F-score, Spearman",
        ".73 BERT, .64 GPT-2, .75 RoBERTa, .92 T5, -.18 GloVe",
        "draft table in a docstring of their code; the released code logs an area of 0 always",
        "probes here code labels and have no validation loss along training",
    ),
    "contains-1": Fact(
        "figure of the toys",
        "contains-1 reaches no error on spurious_only with almost no evidence",
        "almost none, " + IN_WORDS,
        _PAGE,
        "contains-1 and contains-2 are of one family here, which is no pair",
    ),
    "first-last": Fact(
        "figure of the toys",
        "first-last errs on spurious_only even with much evidence",
        "errs, " + IN_WORDS,
        f"{_PAGE}; in a fifth of its spurious_only rows the place of the 2 tells the answer",
    ),
    "bits of first-last": Fact(
        "table of the toys", "target dearer than contains-2, log2: first-last", "10.0 (ratio .001)",
        f"{_RATIO}; {_NOT_ORDERED}",
    ),
    "bits of prefix-duplicate": Fact(
        "table of the toys", "target dearer than contains-2, log2: prefix-dupl", "9.0 (ratio .002)",
        f"{_RATIO}; {_NOT_ORDERED}",
    ),
    "bits of adjacent-duplicate": Fact(
        "table of the toys", "target dearer than contains-2, log2: adj-dupl", "10.0 (ratio .001)",
        f"{_RATIO}; {_NOT_ORDERED}",
    ),
}  # fmt: skip

_EARLY = "values in a plotting script of an early run; their code averages over batches, so ratios hang on it"
CRUZ: Facts = {
    "H1": Fact(
        "abstract, scatter",
        "the more extractable feature is used more at no evidence",
        "significant correlations, " + IN_WORDS,
        "abstract; the code draws 4 toys and 4 or 5 tasks of language and computes no correlation",
    ),
    "H2": Fact(
        "abstract, panels",
        "evidence against the spurious feature lowers its use",
        "significant correlations, " + IN_WORDS,
        "abstract; of language, the code drops runs whose reward on neither is below .7",
    ),
    "bits of dollar-vs-hash": Fact(
        "scatter", "target cheaper than spurious feature, log2: $ and #", "1.2 (ratio 2.27)", _EARLY
    ),
    "bits of score-vs-review": Fact(
        "scatter", "target dearer than spurious feature, log2: score and 'review'", "1.6 (ratio .34)", _EARLY
    ),
    "bits of true sentiment": Fact(
        "scatter", "target dearer than spurious feature, log2: true sentiment", "2.4 (ratio .19)", _EARLY,
        "no task here has the true sentiment of a review for its target",
    ),
    "toxicity": Fact(
        "panels of toxicity", "the same for toxic continuations of GPT-2", "-", "no figure read",
        "no task of toxicity here: it needs a classifier of toxic text",
    ),
    "large": Fact(
        "panels of GPT-2 large", "the same for a larger model", "-", "no figure read; one seed",
        "models of one size",
    ),
}  # fmt: skip

_TABLE = "table 11, OPT 6.7B"
_NOTES = "in words, notes on the paper"
_BY_EYE = "read by eye, by a third party"
KIRK: Facts = {
    "rlhf wins": Fact("2", "RLHF above SFT, summaries in and out of distribution", "above", _NOTES),
    "best-of-n wins": Fact("2", "best of 16 above RLHF, summaries", "above", _NOTES),
    "gap": Fact("2", "RLHF loses less out of distribution than SFT, summaries", EQUAL, _NOTES),
    "reward model": Fact(
        "section 4", "the reward model orders fewer pairs right out of distribution",
        ".042 (.758 to .716)", "notes on the paper, LLaMA 7B, CNN/DailyMail",
        "the study has no held-out pairs under a shift",
    ),
    "rlhf wins, instructions": Fact("3", "RLHF above SFT, instructions", "above", _NOTES),
    "best-of-n wins, instructions": Fact("3", "best of 16 above SFT, instructions", "above", _NOTES),
    "gap, instructions": Fact("3", "RLHF loses less than SFT on AlpacaEval", EQUAL, _NOTES),
    "gap, sequential": Fact(
        "3", "RLHF loses less than SFT on sequential instructions", "much smaller", _NOTES
    ),
    "head to head": Fact(
        "4", "RLHF and best of 16 gain on SFT head to head from in distribution to AlpacaEval", ".035", _NOTES
    ),
    "ead per input": Fact("5", "RLHF is less diverse per input: EAD", ".72 (.79 to .07)", _TABLE),
    "cosine per input": Fact(
        "5", "RLHF is less diverse per input: sentence embeddings", ".39 (.45 to .06)", _TABLE
    ),
    "nli per input": Fact(
        "5", "RLHF is less diverse per input: NLI", f"{EQUAL} (LLaMA); 1.6 (OPT 6.7B)",
        "in words; table 11; the released code scores single characters, its sign inverted",
    ),
    "ead across inputs": Fact(
        "6", "RLHF is less diverse across inputs: EAD", ".06 (LLaMA); 0 (OPT 6.7B)", f"{_BY_EYE}; table 12"
    ),
    "cosine across inputs": Fact(
        "6", "RLHF is less diverse across inputs: sentence embeddings", "above", _NOTES
    ),
    "best-of-n across inputs": Fact(
        "6", "best of 16 is at least as diverse as SFT across inputs", "at least 0; -.01 (OPT 6.7B)",
        "in words; table 12 (.86 against .87)",
    ),
    "best-of-n across inputs, instructions": Fact(
        "6", "best of 16 is at least as diverse as SFT across inputs, instructions", "at least 0", _NOTES
    ),
    "less across": Fact("6", "RLHF loses less across inputs than per input", "above", _NOTES),
    "diversity, instructions": Fact(
        "appendix", "diversity of RLHF and SFT on instructions", EQUAL, f"{_NOTES}; no figure was printed"
    ),
    "beta": Fact("11-13", "a larger beta lowers the reward and diversity per input", "above", _NOTES),
    "size": Fact(
        "table 11", "the loss of EAD per input grows with the model",
        ".66 (125M, .81 to .15); .72 (6.7B, .79 to .07)", "table 11, OPT", "models of one size",
    ),
    "judge": Fact(
        "section 4", "the language model judge agrees with people", "-", "no figure read",
        "the judge here is the gold reward",
    ),
}  # fmt: skip

_BARS = "held-out reward figure, Instruct (LLaMA)"
_AGAIN = "the same answers, computed again, Instruct"
_METEOR = "METEOR figure, Instruct (LLaMA)"
_CALIBRATION = "calibration figure, Instruct (LLaMA)"
SUPERHF: Facts = {
    "reward over sft": Fact("reward", "SuperHF above SFT: held-out reward", ".85 (.41)", _BARS),
    "reward over best-of-n": Fact("reward", "SuperHF above best of n: held-out reward", ".55 (.16)", _BARS),
    "reward over ppo": Fact(
        "reward", "SuperHF above PPO: held-out reward", ".26 (.40)",
        f"{_BARS}; its PPO trained on the prompts too",
    ),
    "alike over sft": Fact("METEOR", "SuperHF's answers are more alike than SFT's", "-.006 (.013)", _METEOR),
    "alike over ppo": Fact("METEOR", "SuperHF's answers are more alike than PPO's", ".029 (.013)", _METEOR),
    "kl and alike": Fact(
        "KL sweep", "without the KL term answers are more alike", "about .6 (.55), 0 over 0.5",
        "KL sweep, by eye, Instruct (LLaMA)",
    ),
    "kl and reward": Fact(
        "KL sweep", "the KL term keeps the reward", "about -1 (-1), 0.5 over 0; said to keep it at 0.35",
        "KL sweep, by eye, Instruct (LLaMA)",
    ),
    "progress": Fact(
        "progress", "the reward rises after a fifth of the run", "about 0 after a fifth",
        "progress figure, by eye, LLaMA",
    ),
    "superbatch": Fact(
        "superbatch", "a larger superbatch helps, to 16", ".80 (16 over 1)", "superbatch figure, Alpaca"
    ),
    "superbatch, larger": Fact(
        "superbatch", "and beyond 16", "-.10 (128 over 16)", "superbatch figure, Alpaca"
    ),
    "accumulation, learned": Fact(
        "accumulation", "fewer prompts a step help: training reward", ".16 (1 over 128)",
        "accumulation figure",
    ),
    "accumulation": Fact(
        "accumulation", "fewer prompts a step help: held-out reward",
        ".12 to .24 (others over 128; se .09)", "accumulation figure",
    ),
    "seeds": Fact(
        "seeds", "SuperHF varies less over seeds than PPO: ratio of standard deviations", ".97 (.73)",
        f"20 seeds, Instruct (LLaMA), recomputed from published data, {AGAINST}",
    ),
    "stability": Fact(
        "stability", "more runs of SuperHF improve than of PPO", ".70 (.85 against .15)",
        "in words; of RLHF's 100 runs 15 % recomputed from published data",
    ),
    "mse over sft": Fact("calibration", "SuperHF over SFT: their MSE", ".0031 (.0054)", _CALIBRATION),
    "mse over ppo": Fact("calibration", "SuperHF over PPO: their MSE", ".0052 (.0004)", _CALIBRATION),
    "ece over sft": Fact(
        "calibration", "SuperHF over SFT: ECE over all classes", "-.0018", f"{_AGAIN}, {AGAINST}"
    ),
    "brier over sft": Fact(
        "calibration", "SuperHF over SFT: Brier", "-.0024", f"{_AGAIN}, {AGAINST}"
    ),
    "nll over sft": Fact("calibration", "SuperHF over SFT: NLL", "-.0051", f"{_AGAIN}, {AGAINST}"),
    "elo": Fact(
        "Elo", "SuperHF is preferred to SFT", "23 as recorded, -127 as rated",
        "Elo by GPT-4, Instruct; ratings had been put to other pairs of models",
    ),
    "size": Fact(
        "model size", "SuperHF gains with the model's size, PPO does not",
        "-.48, -.22, .02, .25, .30 (Pythia 70M to 12B)",
        "recomputed from published data; the 12B point is a second run at another rate (first: .05)",
        "models of one size",
    ),
    "capability": Fact(
        "downstream", "MMLU, common sense and safety stay", "<= .01 of LLaMA's .312, .610, .487",
        "recomputed from published data", "a small model knows none of what these ask",
    ),
    "ratings": Fact(
        "GPT-4 ratings", "SuperHF is not rated worse on avoidance, bias and gaming", "-", "no figure read",
        "needs a chat model as a judge",
    ),
    "cost": Fact(
        "cost", "human time and wall-clock of SuperHF and PPO", "about 6 times the wall-clock",
        "notes on the paper, which do not say of which", "no claim that can be turned into a test",
    ),
}  # fmt: skip

_SITE = "project site, by eye"
_NO_BANDIT = "no number of the bandit's figure was read"
_ONLINE_BEST = "complementarity figure, length in tokens at step 590, read by eye"
TAJWAR: Facts = {
    "batches": Fact(
        "takeaway 1", "fewer samples a round, so more on-policy, help where the peak is far",
        "RWR .71/.67/.56, REINFORCE .73/.66/.62 at B 64/128/256",
        f"AlpacaFarm gold reward, {_SITE}; {_NO_BANDIT}", OTHER_STUDY,
    ),
    "on-policy": Fact(
        "takeaway 1", "on-policy samples help", "help most where the peak is far, in words",
        "notes on the paper; no figure of this comparison was read", OTHER_STUDY,
    ),
    "on-policy, lengths": Fact(
        "takeaway 1", "on-policy samples help more where the peak is far: lengths", "more", IN_WORDS,
        OTHER_STUDY,
    ),
    "reuse": Fact(
        "takeaway 2", "some reuse helps, much hurts", "T = 2 beats T = 1 in the bandit, large T hurts, "
        "in words", "notes on the paper", OTHER_STUDY,
    ),
    "clipping": Fact(
        "takeaway 2", "PPO tolerates reuse better than best of n", "better, in words", "notes on the paper",
        OTHER_STUDY,
    ),
    "negative, dpo": Fact(
        "takeaway 3", "a negative gradient helps: DPO", "gain over SFT, DPO +.13, Pref-FT -.01",
        f"AlpacaFarm, {_SITE}; {_NO_BANDIT}", OTHER_STUDY,
    ),
    "negative, ipo": Fact(
        "takeaway 3", "a negative gradient helps: IPO", "helps where the peak is far, in words",
        "no figure of IPO was read", OTHER_STUDY,
    ),
    "negative, lengths": Fact(
        "takeaway 3", "a negative gradient helps off-policy: lengths", "more", IN_WORDS, OTHER_STUDY
    ),
    "margin": Fact(
        "lemma 6.2", "the margin grows with a negative gradient", "grows, in words", "project site",
        OTHER_STUDY,
    ),
    "chosen, dpo": Fact(
        "implicit rewards", "the chosen answers rise: DPO", "+.6 (UltraFeedback), -.05 (AlpacaFarm)", _SITE,
        OTHER_STUDY,
    ),
    "displaced": Fact(
        "takeaway 3", "else the mass goes to other responses", "in words", "project site", OTHER_STUDY
    ),
    "both, dpo": Fact(
        "takeaway 4", "on-policy samples and a negative gradient add up: DPO",
        "Min Length at step 590: online DPO 0, offline DPO 0 (later), online RWR 72", _SITE, OTHER_STUDY,
    ),
    "both, ipo": Fact(
        "takeaway 4", "on-policy samples and a negative gradient add up: IPO", "best, in words",
        "no figure of IPO was read", OTHER_STUDY,
    ),
    "best, min over dpo": Fact(
        "takeaway 4", "on-policy DPO is best: Min Length, offline DPO", "0", _ONLINE_BEST, OTHER_STUDY
    ),
    "best, min over ppo": Fact(
        "takeaway 4", "on-policy DPO is best: Min Length, PPO", "6", _ONLINE_BEST, OTHER_STUDY
    ),
    "best, min over rwr": Fact(
        "takeaway 4", "on-policy DPO is best: Min Length, RWR", "72", _ONLINE_BEST, OTHER_STUDY
    ),
    "best, skew over dpo": Fact(
        "takeaway 4", "on-policy DPO is best: Skew Length, offline DPO", "10", _ONLINE_BEST, OTHER_STUDY
    ),
    "best, skew over ppo": Fact(
        "takeaway 4", "on-policy DPO is best: Skew Length, PPO", "14", _ONLINE_BEST, OTHER_STUDY
    ),
    "best, skew over rwr": Fact(
        "takeaway 4", "on-policy DPO is best: Skew Length, RWR", "22", _ONLINE_BEST, OTHER_STUDY
    ),
    "best, mode": Fact(
        "takeaway 4", "on-policy DPO is best: Mode Length", "all within 5 to 30 of the mode", _ONLINE_BEST,
        OTHER_STUDY,
    ),
    "skew": Fact(
        "takeaway 4", "offline DPO is worse where coverage is low", "10", _ONLINE_BEST, OTHER_STUDY
    ),
    "best, ipo": Fact(
        "takeaway 4", "on-policy IPO is best: lengths", "more", IN_WORDS, OTHER_STUDY
    ),
    "full scale": Fact(
        "full-scale bars", "a negative gradient helps on UltraFeedback, gain over SFT",
        "DPO about +1.7, Pref-FT +.5", _SITE, "needs Mistral 7B and a gold reward model of chats",
    ),
    "theorem": Fact(
        "theorem 6.5", "reverse KL moves mass to few categories, forward KL to all",
        "(.25, .20, .35, .20) and (.33, .225, .22, .225) from (.3, .3, .1, .3)",
        f"toy figure, {_SITE}; one exact step of forward KL on logits cannot raise the first category",
        "no study: exact on four categories",
    ),
}  # fmt: skip

FACTS: Mapping[str, Facts] = {
    "lovering2021": LOVERING,
    "cruz2023": CRUZ,
    "kirk2024": KIRK,
    "superhf2023": SUPERHF,
    "tajwar2024": TAJWAR,
}
