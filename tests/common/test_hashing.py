"""Hashes of content are the same on every machine."""

from components.common.hashing import content_id, file_hash, fingerprint, number_from


def test_content_id_is_sha256():
    # FIPS 180-2, appendix B.1
    assert content_id(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_fingerprint_ignores_order_of_keys_only():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    different = [("ab", "c"), ("a", "bc"), ("abc",), (["ab", "c"],), ("ab", "c", None)]
    assert len({fingerprint(*parts) for parts in different}) == len(different)


def test_number_never_changes():
    """Splits and seeds depend on it: another number would move samples between splits."""
    assert number_from(0, "validation", "x") == number_from(0, "validation", "x")
    assert number_from(0, "train", 3) == 4649139585362993845
    assert 0 <= number_from("anything") < 2**63


def test_hash_of_folder_depends_on_content_not_place(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "a").write_text("a")
        (tmp_path / name / "deep" / "b").write_text("b")
    assert file_hash(tmp_path / "one") == file_hash(tmp_path / "two")
    (tmp_path / "two" / "deep" / "b").write_text("c")
    assert file_hash(tmp_path / "one") != file_hash(tmp_path / "two")
