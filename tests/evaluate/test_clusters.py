"""Clusters of predictions that are right or wrong together."""

import pandas as pd
import pytest

from components.evaluate.clusters import clusters

TABLE = pd.DataFrame(
    {
        "sample_id": ["1", "2", "3"],
        "image_id": ["i", "i", None],
        "text_id": ["s", "t", "t"],
        "audio_id": [None, None, None],
        "speaker": ["ann", None, "bob"],
    }
)


@pytest.mark.parametrize(
    ("subset", "group", "expected"),
    [
        ("image-text", "image", ["i", "i"]),
        ("text", "image", ["s", "t", "t"]),
        ("image-text", "text", ["s", "t", "t"]),
        ("image-text", "speaker", ["ann", "i+t", "bob"]),
        ("image-text", "unknown", ["i+s", "i+t"]),
    ],
)
def test_clusters_are_groups_or_equal_assets(subset, group, expected):
    found = clusters(TABLE, subset, group)
    assert list(found.index) == ["1", "2", "3"]
    assert found.tolist()[: len(expected)] == expected
