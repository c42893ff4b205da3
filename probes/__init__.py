"""How easy a feature is to read from frozen representations: representations -> loss-data curve -> bits."""

from probes.codelength import LossCurve, Predictor, blocks, prequential
from probes.compat import COMPAT, published_mdl, published_rows
from probes.extract import answer_site, representations
from probes.frozen import frozen_use
from probes.logistic import LogisticFit, fit_logistic
from probes.mlp import mlp
from probes.probe import KINDS, REVISION, STRENGTHS, ProbeResult, linear, probe, standardised
from probes.raw import raw_design
from probes.variational import variational
from probes.whole_model import whole_model

__all__ = [
    "COMPAT",
    "KINDS",
    "REVISION",
    "STRENGTHS",
    "LogisticFit",
    "LossCurve",
    "Predictor",
    "ProbeResult",
    "answer_site",
    "blocks",
    "fit_logistic",
    "frozen_use",
    "linear",
    "mlp",
    "prequential",
    "probe",
    "published_mdl",
    "published_rows",
    "raw_design",
    "representations",
    "standardised",
    "variational",
    "whole_model",
]
