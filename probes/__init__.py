"""How easy a feature is to read from frozen representations: representations -> loss-data curve -> bits."""

from probes.codelength import LossCurve, Predictor, blocks, prequential
from probes.extract import answer_site, representations
from probes.logistic import LogisticFit, fit_logistic
from probes.probe import REVISION, STRENGTHS, ProbeResult, linear, probe
from probes.raw import raw_design

__all__ = [
    "REVISION",
    "STRENGTHS",
    "LogisticFit",
    "LossCurve",
    "Predictor",
    "ProbeResult",
    "answer_site",
    "blocks",
    "fit_logistic",
    "linear",
    "prequential",
    "probe",
    "raw_design",
    "representations",
]
