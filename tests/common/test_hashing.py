"""Names that follow from content, on every machine the same."""

from components.common.hashing import content_id, file_hash, fingerprint, number_from


def test_the_id_of_an_asset_is_its_sha256():
    # FIPS 180-2, appendix B.1
    assert content_id(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_fingerprint_depends_on_values_not_on_the_order_of_keys():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    different = [("ab", "c"), ("a", "bc"), ("abc",), (["ab", "c"],), ("ab", "c", None)]
    assert len({fingerprint(*parts) for parts in different}) == len(different)


def test_a_number_is_the_same_for_ever():
    """Splits and seeds hang on it: another number here would move samples between splits."""
    assert number_from(0, "validation", "x") == number_from(0, "validation", "x")
    assert number_from(0, "train", 3) == 4649139585362993845
    assert 0 <= number_from("anything") < 2**63


def test_a_folder_s_hash_follows_its_files_wherever_it_lies(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "a").write_text("a")
        (tmp_path / name / "deep" / "b").write_text("b")
    assert file_hash(tmp_path / "one") == file_hash(tmp_path / "two")
    (tmp_path / "two" / "deep" / "b").write_text("c")
    assert file_hash(tmp_path / "one") != file_hash(tmp_path / "two")
