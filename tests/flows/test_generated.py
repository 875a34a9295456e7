"""On random graphs the driver leaves, to the byte, what plain `dvc repro` leaves."""

import pytest

from tests.flows.graphs import Graph

EDITS = 3


def assert_same(ours: Graph, plain: Graph, story: list[str]) -> None:
    one, other = ours.content(), plain.content()
    assert one.keys() == other.keys(), story
    different = [name for name in one if one[name] != other[name]]
    assert not different, (story, different)
    assert ours.status() == plain.status(), story


@pytest.mark.parametrize("seed", range(6))
def test_the_same_files_as_plain_repro(tmp_path, seed):
    plain = Graph.generate(tmp_path / "plain", seed)
    ours = plain.copy(tmp_path / "ours")
    story = []
    for number in range(EDITS + 1):
        if number == EDITS:
            for graph in (plain, ours):
                graph.remove_outputs(share=1)
            story.append("outputs removed")
        elif number:
            edits = [graph.edit() for graph in (plain, ours)]
            story.append(edits[0])
        ran = plain.plain()
        outcomes = ours.driven(delays=seed)
        assert {name for name, what in outcomes.items() if what != "up to date"} == set(ran), story
        assert_same(ours, plain, story)
