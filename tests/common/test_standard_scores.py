"""Outliers among standardised numbers."""

import numpy as np
import torch

from components.common.standard_scores import clipped

NUMBERS = [-7.0, -5.0, 0.5, 99.0]


def test_outliers_count_as_far_as_five_deviations():
    assert clipped(np.array(NUMBERS)).tolist() == [-5.0, -5.0, 0.5, 5.0]
    assert clipped(torch.tensor(NUMBERS)).tolist() == [-5.0, -5.0, 0.5, 5.0]
