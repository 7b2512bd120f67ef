"""Fit the fusion's weights and write them as a small versioned value.

    python -m benchmarks.retrieval.fit --out packages/core/src/memos_core/operator/weights.json

Per query, a softmax over all memories; the loss is -log of the share that each gold memory takes
against the memories that are not gold, averaged over golds, queries and, equally, corpora, plus an
L2 penalty (ListNet's top-one likelihood, Cao et al. 2007, with several golds). Order within a query
is what is asked for; a logistic regression over all pairs fits a threshold across queries as well,
and did one to two points worse.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize  # type: ignore[import-untyped]  # ships no stubs

from benchmarks.retrieval.cases import Case
from benchmarks.retrieval.corpora import LOCOMO, LONGMEMEVAL
from benchmarks.retrieval.pool import Pool, add_arguments, pool_of
from benchmarks.retrieval.recipes import held_out
from memos_core.operator.features import FEATURES

