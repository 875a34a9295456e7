"""The rank of what was to be found, among all that could be."""

from collections.abc import Callable

import torch
from torch import Tensor

CELLS = 1 << 24  # of the similarity matrix at a time
ROUNDING = 1e-6  # similarities that differ by less are equal: float32 tells no more


def ranks(queries: Tensor, targets: Tensor, right: Callable[[Tensor], Tensor]) -> Tensor:
    """int64 [N]: the place of each query's nearest right target, counted among the wrong ones.

    It is 1 + the number of wrong targets that are at least as near: of equally near ones the right
    one comes last, so that a model for which all are alike finds nothing. Further right targets
    take no place.

    Args:
        queries: embeddings of length 1 [N, E].
        targets: likewise [M, E].
        right: says of some of the queries, int64 [n], which targets are right, bool [n, M]; at
            least one of each.
    """
    found = []
    for part in torch.arange(len(queries)).split(max(1, CELLS // len(targets))):
        similarity, known = queries[part] @ targets.T, right(part)  # [n, M]
        nearest = similarity.masked_fill(~known, -torch.inf).amax(1, keepdim=True)
        ahead = (similarity > nearest - ROUNDING) & ~known
        found.append(1 + ahead.sum(1))
    return torch.cat(found)
