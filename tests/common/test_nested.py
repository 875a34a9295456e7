"""Nested mappings become leaves with dotted names."""

import pytest

from components.common.nested import flatten, merged, paths

NESTED = {"train": {"batch_size": 16, "encoders": {"image": "frozen"}}, "seed": 0}


def test_leaves_have_dotted_names_in_order():
    assert list(flatten(NESTED)) == [
        ("train.batch_size", 16),
        ("train.encoders.image", "frozen"),
        ("seed", 0),
    ]


def test_separator_can_be_chosen():
    assert dict(flatten({"a": {"b": 1}}, "/")) == {"a/b": 1}


def test_paths_tell_keys_with_separators_apart():
    assert dict(paths({"a": {"b/c": 1}, "a/b": {"c": 2}})) == {("a", "b/c"): 1, ("a/b", "c"): 2}


@pytest.mark.parametrize(
    ("value", "leaf"), [([], "[]"), (["a", {"b": 1}], '["a", {"b": 1}]'), (None, None), (0.5, 0.5)]
)
def test_list_is_one_leaf_as_json(value, leaf):
    assert list(flatten({"key": value})) == [("key", leaf)]


def test_keys_need_not_be_strings():
    assert list(flatten({1: {2: "x"}})) == [("1.2", "x")]


def test_empty_mapping_has_no_leaves():
    assert list(flatten({"a": {}})) == []


def test_merged_mappings_are_as_deep_as_both():
    left, right = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"c": {"e": 4}}, "d": {"f": 5}, "g": 6}
    assert merged(left, right) == {"a": {"b": 1, "c": {"e": 4}}, "d": {"f": 5}, "g": 6}
    assert left == {"a": {"b": 1, "c": 2}, "d": 3}
