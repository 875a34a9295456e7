"""Linear support vector machines, one per class against the rest."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from components.tasks.baseline import Matrix, Scores, count

MAX_STEPS = 200  # of the solver; more make no better classifier


def one_vs_rest(
    features: Matrix,
    targets: np.ndarray,
    weights: np.ndarray,
    strength: float,
    is_balanced: bool = False,
) -> Scores:
    """Return a function that gives margins [n, K], positive where a class is predicted.

    Args:
        features: of N examples, [N, D].
        targets: whether each class is right, bool [N, K].
        weights: of the examples, [N].
        strength: the parameter C.
        is_balanced: whether each class weighs as much as the rest.
    """
    machines = [_machine(features, column, weights, strength, is_balanced) for column in targets.T]
    return lambda found: np.stack([machine(found) for machine in machines], axis=1)


def _machine(
    features: Matrix, target: np.ndarray, weights: np.ndarray, strength: float, is_balanced: bool
) -> Scores:
    if target.all() or not target.any():
        margin = 1.0 if target.all() else -1.0
        return lambda found: np.full(count(found), margin)
    if is_balanced:
        weights = weights / np.where(target, weights[target].sum(), weights[~target].sum())
    machine = LinearSVC(C=strength, random_state=0, max_iter=MAX_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        machine.fit(features, target, weights / weights.mean())
    return machine.decision_function
