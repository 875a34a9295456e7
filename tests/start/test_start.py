"""Settings for a user's data: what is proposed, why, and that it is valid."""

import io
import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from PIL import Image

from components.common.errors import InputError
from components.start.__main__ import main, propose
from flows.check import check_text

ROWS = 60


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> Path:
    """A folder to start from, beside that of the data."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def data(tmp_path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def png(number: int, side: int = 40) -> bytes:
    pixels = np.full((side, side, 3), number % 256, np.uint8)
    pixels[0, 0] = number // 256
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def wav(number: int) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, np.full(8000 + number, 0.1), 8000, format="WAV")
    return content.getvalue()


def texts() -> list[str]:
    return [f"this is the text of row {row}" for row in range(ROWS)]


def proposed(path: Path) -> dict:
    """Return what is proposed, once it is sure that the check accepts it."""
    proposal = propose(path)
    check_text(yaml.safe_dump(proposal.settings).encode(), Path("params.yaml"))
    return proposal.settings


def test_table_of_texts(data):
    labels = ["good" if row % 3 else "bad" for row in range(ROWS)]
    table = pd.DataFrame({"id": range(ROWS), "review": texts(), "sentiment": labels})
    table.to_csv(data / "rows.csv", index=False)
    found = proposed(data / "rows.csv")
    assert found["ingest"]["root"] == str(data)
    assert found["ingest"]["source"] == {
        "kind": "table",
        "files": ["rows.csv"],
        "columns": {"text": "review"},
        "id": "id",
    }
    assert found["tasks"] == {
        "sentiment": {
            "kind": "classification",
            "column": "sentiment",
            "sufficient_modalities": ["text"],
        }
    }
    assert found["preprocess"] == {"text": {"max_tokens": 16, "vocab_size": 8000}}


def test_rare_classes_are_balanced(data):
    table = pd.DataFrame({"text": texts(), "label": ["rare"] * 5 + ["often"] * 55})
    table.to_csv(data / "rows.csv", index=False)
    assert proposed(data / "rows.csv")["tasks"]["label"]["balance"] == "weights"
    reason = next(why for why in propose(data / "rows.csv").reasons if "balance" in why)
    assert "'often' occurs 55 times and 'rare' 5" in reason
    tags = [["a"] * (row < 3) + ["b"] for row in range(ROWS)]
    table.assign(label=tags).to_parquet(data / "rows.parquet")
    assert proposed(data / "rows.parquet")["tasks"]["label"]["balance"] == "weights"


def test_rare_folders_are_balanced(data):
    for name, count in (("rare", 3), ("often", 30)):
        (data / name).mkdir()
        for number in range(count):
            (data / name / f"{number}.png").write_bytes(png(number))
    assert proposed(data)["tasks"]["class"]["balance"] == "weights"
    for number in range(4, 30):
        (data / "rare" / f"{number}.png").write_bytes(png(100 + number))
    assert "balance" not in proposed(data)["tasks"]["class"]


def test_delimiter_of_excel_is_recognised(data):
    labels = ["good" if row % 3 else "bad" for row in range(ROWS)]
    table = pd.DataFrame({"review": texts(), "sentiment": labels})
    table.to_csv(data / "rows.csv", index=False, sep=";")
    source = proposed(data / "rows.csv")["ingest"]["source"]
    assert (source["delimiter"], source["columns"]) == (";", {"text": "review"})


def test_files_are_recognised_by_what_they_hold(data):
    """Whatever they are called; sounds, images and texts of one table become three modalities."""
    rows = []
    for row in range(ROWS):
        (data / f"{row}.picture").write_bytes(png(row))
        (data / f"{row}.sound").write_bytes(wav(row))
        rows.append({"a": f"{row}.sound", "b": f"{row}.picture", "c": texts()[row], "y": row % 4})
    (data / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = proposed(data / "rows.jsonl")
    assert found["ingest"]["source"]["columns"] == {"audio": "a", "image": "b", "text": "c"}
    assert found["tasks"]["y"]["sufficient_modalities"] == ["audio", "image", "text"]
    assert found["preprocess"]["audio"] == {
        "max_seconds": 1.1,
        "sample_rate": 8000,
        "hop_length": 128,
    }
    assert found["preprocess"].get("image", {}) == {}  # 64 pixels, the default
    assumed = "features.audio.transcript: true, as column 'c' is taken to be what the audio of the"
    assert [why for why in propose(data / "rows.jsonl").reasons if why.startswith(assumed)]


def test_parquet_with_bytes_and_lists(data):
    images = [{"bytes": png(row), "path": None} for row in range(ROWS)]
    tags = [["red", "round"] if row % 2 else ["blue"] for row in range(ROWS)]
    pd.DataFrame({"picture": images, "tags": tags}).to_parquet(data / "rows.parquet")
    found = proposed(data / "rows.parquet")
    assert found["ingest"]["source"]["columns"] == {"image": "picture"}
    assert found["tasks"]["tags"]["kind"] == "multilabel"


def test_hugging_face_shards_give_the_splits(data):
    for split in ("train", "test"):
        table = pd.DataFrame({"text": texts(), "stars": np.linspace(0, 5, ROWS)})
        table.to_parquet(data / f"{split}-00000-of-00001.parquet")
    found = proposed(data)
    assert found["ingest"]["source"] == {
        "kind": "huggingface",
        "path": ".",
        "columns": {"text": "text"},
    }
    assert found["ingest"]["splits"] == {"test": 0.0}
    assert found["tasks"]["stars"]["kind"] == "regression"


def test_folders_of_classes(data):
    for split in ("train", "test"):
        for row in range(ROWS):
            folder = data / split / f"class {row % 3}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{row}.png").write_bytes(png(row, 30))
    found = proposed(data)
    assert found["ingest"]["source"] == {"kind": "folders", "modality": "image"}
    assert found["ingest"]["splits"] == {"test": 0.0}
    assert found["preprocess"] == {"image": {"size": 32}}
    assert found["tasks"] == {"class": {"column": "class", "sufficient_modalities": ["image"]}}


def test_folders_within_classes_are_named(data):
    """Their files belong to the class around them; links out of the data are no part of it."""
    for breed in ("cat/tabby", "cat/siamese", "dog"):
        (data / breed).mkdir(parents=True)
        for row in range(10):
            (data / breed / f"{row}.png").write_bytes(png(row + 10 * len(breed)))
    (data / "dog/system").symlink_to("/etc")
    (data / "readme.txt").write_text("")
    found = propose(data)
    assert found.reasons[:2] == [
        "files beside the folders: not used, readme.txt",
        "folders of classes: 30 files of the modality image",
    ]
    hint = f"folders in it, siamese, tabby; if those are the classes, start with {data / 'cat'}"
    assert [why for why in found.reasons if hint in why]


def test_test_folder_without_classes_is_not_what_is_measured(data):
    for name in ("train/a", "train/b", "test"):
        (data / name).mkdir(parents=True)
        for row in range(20):
            (data / name / f"{row}.png").write_bytes(png(row + 20 * len(name)))
    assert proposed(data)["evaluate"] == {"split": "validation"}


def test_numbers_and_categories_are_one_modality(data, capsys):
    """But neither what identifies a row or its group nor what says the label in other words."""
    random = np.random.default_rng(0)
    table = pd.DataFrame({"age": random.normal(size=ROWS), "breed": ["tabby", "siamese"] * 30})
    table["number"], table["owner"] = range(ROWS), [f"owner {row}" for row in range(ROWS)]
    table["patient"] = [row % 7 for row in range(ROWS)]
    table["grade"], table["label"] = [row // 20 for row in range(ROWS)], ["low", "low", "high"] * 20
    table["verdict"] = table["label"].str.upper()
    table.to_csv(data / "rows.csv", index=False)
    proposal = propose(data / "rows.csv")
    found = proposed(data / "rows.csv")
    assert found["ingest"]["source"]["columns"] == {
        "text": "owner",
        "tabular": ["age", "breed", "grade"],
    }
    assert found["train"]["encoders"] == {"tabular": "finetune"}
    assert "columns age, breed, grade: tabular, numbers and categories" in proposal.reasons
    assert "column 'verdict': not used, as it says what 'label' is" in proposal.reasons


def test_rows_with_equal_categories_may_be_in_several_splits(data):
    table = pd.DataFrame({"breed": ["tabby", "siamese", "sphynx"] * 20, "age": [1, 2] * 30})
    table.assign(label=["tame", "tame", "wild", "wild"] * 15).to_csv(data / "rows.csv", index=False)
    found = proposed(data / "rows.csv")
    assert found["ingest"]["source"]["columns"] == {"tabular": ["breed", "age"]}
    assert "splits" not in found["ingest"]


def test_column_of_splits_and_of_groups(data):
    table = pd.DataFrame({"text": texts(), "label": [row % 2 for row in range(ROWS)]})
    table.assign(part=["train", "dev", "test"] * 20).to_csv(data / "parts.csv", index=False)
    assert proposed(data / "parts.csv")["ingest"]["source"]["split"] == "part"
    table.assign(speaker=[f"s{row % 7}" for row in range(ROWS)]).to_csv(
        data / "groups.csv", index=False
    )
    assert proposed(data / "groups.csv")["ingest"]["splits"] == {"group": "speaker"}


def test_last_likely_column_is_learnt(data):
    """Texts, groups and numbers of rows are no labels, wherever they stand."""
    table = pd.DataFrame({"kind": ["a", "b"] * 30, "question": ["what is it?", "who is it?"] * 30})
    table["speaker"], table["number"] = [row % 5 for row in range(ROWS)], range(ROWS)
    table.to_csv(data / "rows.csv", index=False)
    found = proposed(data / "rows.csv")
    assert found["tasks"]["kind"]["column"] == "kind"
    assert found["ingest"]["splits"] == {"group": "speaker"}


def test_encoders_learn_labels_that_their_modality_decides(data):
    """Not where rows with the same image have different labels."""
    for row in range(ROWS):
        (data / f"{row}.png").write_bytes(png(row))
    table = pd.DataFrame({"image": [f"{row}.png" for row in range(ROWS)], "text": texts()})
    table["label"] = ["a", "b", "c"] * 20
    table.to_csv(data / "rows.csv", index=False)
    found = proposed(data / "rows.csv")
    assert found["tasks"]["label"]["sufficient_modalities"] == ["image", "text"]
    assert found["train"]["learning_rate"] == 0.0003
    assert found["features"]["image"]["epochs"] == 30_000 // 48
    table["image"] = [f"{row // 3}.png" for row in range(ROWS)]
    table.to_csv(data / "rows.csv", index=False)
    found = proposed(data / "rows.csv")
    assert "sufficient_modalities" not in found["tasks"]["label"]
    assert "learning_rate" not in found["train"]


def test_little_data_is_seen_often_enough(data):
    """Counted over the training rows, each asset once."""
    table = pd.DataFrame({"text": texts(), "label": ["a", "b"] * 30})
    table.assign(split=["train"] * 20 + ["test"] * 40).to_csv(data / "rows.csv", index=False)
    found = proposed(data / "rows.csv")
    assert found["features"]["text"]["epochs"] == found["train"]["epochs"] == 10_000 // 20
    assert found["features"]["text"]["plain"] and found["features"]["text"]["keep_heads"]


def test_sounds_that_decide_a_label_are_learnt_by_convolutions_alone(data):
    """They are heard four times as often as other assets are seen."""
    for row in range(ROWS):
        (data / f"{row}.wav").write_bytes(wav(row))
    table = pd.DataFrame({"sound": [f"{row}.wav" for row in range(ROWS)]})
    table.assign(label=["a", "b", "c"] * 20).to_csv(data / "rows.csv", index=False)
    found = proposed(data / "rows.csv")["features"]["audio"]
    assert found["epochs"] == math.ceil(40_000 / (0.8 * ROWS))
    assert found["layers"] == 0 and found["pooling"] == "mean_max"
    table.assign(text=texts(), label=texts()[::-1]).to_csv(data / "rows.csv", index=False)
    found = proposed(data / "rows.csv")["features"]["audio"]
    assert found["epochs"] == 60 and "layers" not in found and "pooling" not in found


def test_every_column_has_its_reason(data, capsys):
    table = pd.DataFrame({"text": texts(), "label": ["a", "b"] * 30, "weight": range(ROWS)})
    table.to_csv(data / "rows.csv", index=False)
    main([str(data / "rows.csv")])
    printed = capsys.readouterr().out
    for name in table:
        assert f"column {name!r}" in printed or f"column {name!r}," in printed
    assert printed.endswith("params.yaml is written. Train with: make run\n")
    assert len(Path("params.yaml").read_text().splitlines()) <= 30


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"text": texts()}, "found no column to learn: text. A label has the same value"),
        ({"number": range(ROWS), "y": [0, 1] * 30}, "found no column to learn 'y' from: number, y"),
    ],
    ids=["nothing to learn", "nothing to learn from"],
)
def test_table_that_cannot_be_used_says_why(data, table, message):
    pd.DataFrame(table).to_csv(data / "rows.csv", index=False)
    with pytest.raises(InputError) as error:
        propose(data / "rows.csv")
    assert message in str(error.value)


def test_unknown_data_is_refused(data):
    with pytest.raises(InputError, match=r"nowhere\.csv does not exist"):
        propose(data / "nowhere.csv")
    (data / "rows.xlsx").write_bytes(b"")
    with pytest.raises(InputError, match=r"rows.xlsx has an unknown format, .* \.csv, "):
        propose(data / "rows.xlsx")
    (data / "rows.xlsx").unlink()
    with pytest.raises(InputError, match="has no folders of classes, it holds nothing"):
        propose(data)


def test_table_in_the_project_is_copied_without_files_only(project, data):
    table = pd.DataFrame({"text": texts(), "label": ["a", "b"] * 30})
    table.to_csv("rows.csv", index=False)
    assert proposed(Path("rows.csv"))["ingest"]["root"] == "source"
    assert Path("source/rows.csv").read_bytes() == Path("rows.csv").read_bytes()
    Path("1.png").write_bytes(png(1))
    table.assign(image="1.png").to_csv("rows.csv", index=False)
    with pytest.raises(InputError, match="names files in the project's own folder"):
        propose(Path("rows.csv"))
    with pytest.raises(InputError, match="holds the project itself"):
        propose(data.parent)


def test_settings_of_the_user_are_not_overwritten(project, data, capsys):
    pd.DataFrame({"text": texts(), "label": ["a", "b"] * 30}).to_csv(data / "r.csv", index=False)
    Path("params.yaml").write_text("seed: 1\n")
    with pytest.raises(SystemExit, match="2"):
        main([str(data / "r.csv")])
    assert "has settings that are not committed" in capsys.readouterr().err
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for words in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-qm", "all")):
        subprocess.run(["git", *words], check=True)
    main([str(data / "r.csv")])
    with pytest.raises(SystemExit, match="2"):
        main([str(data / "r.csv")])
    main([str(data / "r.csv"), "--force"])


@pytest.mark.parametrize(
    ("held_out", "split"), [(["validation", "test"], None), (["dev"], "validation")]
)
def test_figures_are_of_a_split_that_the_data_have(data, held_out, split):
    parts = ["train"] * 10 + [name for name in held_out for _ in range(5)]
    rows = [f"{part},the {row % 2} words of {row},{row % 2}" for row, part in enumerate(parts)]
    (data / "a.csv").write_text("\n".join(["part,text,label", *rows, ""]))
    found = proposed(data / "a.csv")
    assert found["ingest"]["splits"] == {"test": 0.0}
    assert found.get("evaluate") == (split and {"split": split})


def write_csv(data, header: str, *rows: str) -> Path:
    """Write the rows `ROWS` times in turn."""
    lines = [rows[number % len(rows)].replace("#", str(number)) for number in range(ROWS)]
    (data / "rows.csv").write_text("\n".join([header, *lines]) + "\n")
    return data / "rows.csv"


def test_unknown_words_among_splits_are_refused(data):
    """Or else the split would be a category to learn from, and a hash would split the rows."""
    path = write_csv(data, "text,split,label", "text # is,train,a", "text # is,vaild,b")
    with pytest.raises(InputError, match="column 'split' holds 'vaild', expected one of: train"):
        propose(path)


@pytest.mark.parametrize(
    ("words", "why"), [(("tr", "te"), "expected train, "), (("train", "train"), "at least two")]
)
def test_column_called_split_is_nothing_to_learn_from(data, words, why):
    rows = [f"text # is,{word},{'ab'[n]}" for n, word in enumerate(words)]
    found = propose(write_csv(data, "text,split,label", *rows))
    assert found.settings["ingest"]["source"]["columns"] == {"text": "text"}
    assert [reason for reason in found.reasons if "not used for splits" in reason and why in reason]


def test_decimal_commas_are_recognised(data):
    path = write_csv(data, "x;y;label", "#,5;#,25;a", "#,125;#,5;b")
    source = proposed(path)["ingest"]["source"]
    assert (source["decimal"], source["columns"]) == (",", {"tabular": ["x", "y"]})
    path = write_csv(data, "x;n;label", "1,125;#.5;a", "2,500;#.5;b")
    assert "decimal" not in proposed(path)["ingest"]["source"]


def test_rows_that_cannot_be_read_are_named(data):
    path = write_csv(data, "text,label", "text # is,a", "text # is,b", "odd,#,c")
    (note,) = [why for why in propose(path).reasons if "cannot be read" in why]
    assert note.startswith("20 of 60 rows cannot be read. The first, rows.csv:4: found 3 cells")
    with pytest.raises(InputError, match="60 of 60 rows cannot be read.*let the header end in it"):
        propose(write_csv(data, "text,label", "text # is,a,"))
    path.write_text("text,label\n")
    with pytest.raises(InputError, match="there is no row beside the names of the columns"):
        propose(path)


def test_first_line_that_is_a_row_is_named(data):
    found = propose(write_csv(data, "this is a text,good", "text # is,good", "text # is,bad"))
    (note,) = [why for why in found.reasons if "put a line with the names" in why]
    assert note.startswith("column 'good': 30 of its cells are equal to its name. If the first")


def test_cells_of_lists_and_objects(data):
    """Texts of lists, with empty ones and nulls, are several labels; objects are no column."""
    rows = [
        {"text": f"text {row} is", "label": [["a"], [], ["a", None]][row % 3], "o": {"n": row % 2}}
        for row in range(ROWS)
    ]
    (data / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = propose(data / "rows.jsonl")
    assert found.settings["tasks"]["label"]["kind"] == "multilabel"
    assert "tabular" not in found.settings["ingest"]["source"]["columns"]
    assert "column 'o': not used, as cells are lists or objects" in found.reasons
    rows = ["text # is,\"['a', 'b']\"", "text # is,['a']", "text # is,[]"]
    assert proposed(write_csv(data, "text,label", *rows))["tasks"]["label"]["kind"] == "multilabel"


def test_numbers_may_be_missing_in_words(data):
    path = write_csv(data, "x,n,label", "#.5,#,a", "#.5,NA,b", "?,#,a")
    found = propose(path)
    assert found.settings["ingest"]["source"]["columns"] == {"tabular": ["x", "n"]}
    assert [why for why in found.reasons if why.startswith("columns x, n: numbers, and words")]


def test_unused_columns_say_why(data):
    price = "#.5,$ #,same,#,a", "#.5,$ #,same,#,b"
    reasons = propose(write_csv(data, "x,price,c,n,label", *price)).reasons
    assert "column 'price': not used, as cells such as '$ 0' hold more than a number" in reasons
    assert "column 'c': not used, as all cells are the same" in reasons
    assert "column 'n': not used, as it numbers the rows" in reasons


def test_groups_are_not_learnt_from(data):
    reasons = propose(write_csv(data, "text,user,label", "text # is,#,a", "text # is,#,b")).reasons
    assert "column 'user': not used to learn from, by its name" in reasons


def test_different_whole_numbers_are_not_always_ids(data):
    numbers = np.random.default_rng(0).permutation(ROWS) * 1000
    table = pd.DataFrame({"income": numbers, "label": ["a", "b"] * (ROWS // 2)})
    table.to_csv(data / "rows.csv", index=False)
    assert proposed(data / "rows.csv")["ingest"]["source"]["columns"] == {"tabular": ["income"]}


@pytest.mark.parametrize(
    ("label", "why"),
    [("same", "holds 'same' only"), ("", "holds nothing"), ("c#", "60 different")],
)
def test_label_that_cannot_be_learnt_says_why(data, label, why):
    with pytest.raises(InputError, match=f"The column 'label' .*{why}"):
        propose(write_csv(data, "text,label", f"text # is,{label}"))


def test_cell_longer_than_a_name_of_a_file_is_no_file(data):
    path = write_csv(data, "text,label", "x" * 999 + " #,a", "text #,b")
    assert proposed(path)["ingest"]["source"]["columns"] == {"text": "text"}


def test_name_of_the_data_adds_no_setting(data):
    """It is in a comment, which a line break would end."""
    path = data / "rows\npromote: {alias: x}\x85operate: {push: true}.csv"
    pd.DataFrame({"sentence": texts(), "kind": ["a", "b"] * (ROWS // 2)}).to_csv(path, index=False)
    main([str(path), "--params", "made.yaml"])
    written = yaml.safe_load(Path("made.yaml").read_text())
    assert "kind" in written["tasks"] and written.keys().isdisjoint({"promote", "operate"})


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("https://example.org/#.png", "an address or content, expected the path"),
        ("pictures/#.png", "No such file"),
        ("/data/#.png", "is absolute"),
        ("text.jpg", "begins with b'hello'"),
    ],
)
def test_files_that_cannot_be_used_say_why(data, cell, why):
    (data / "text.jpg").write_bytes(b"hello")
    path = write_csv(data, "picture,label", f"{cell},a", f"{cell},b")
    with pytest.raises(InputError, match=f"Of the column 'picture': .*{why}"):
        propose(path)


def test_folder_of_tables_names_one(data):
    write_csv(data, "text,label", "text # is,a", "text # is,b")
    with pytest.raises(InputError, match=r"holds tables: give one of them, such as .*rows\.csv"):
        propose(data)


def test_files_of_several_modalities_in_one_column_are_named(data):
    for row in range(ROWS):
        (data / f"{row}.bin").write_bytes(png(row) if row % 2 else wav(row))
    path = write_csv(data, "file,label", "#.bin,a", "#.bin,b")
    with pytest.raises(InputError, match="'file': the files are of audio and image, which need a"):
        propose(path)
