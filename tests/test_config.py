"""params.yaml is checked whole, and what is wrong with it is said where and how."""

import pytest
import yaml

from components.common.errors import InputError
from components.config.load import load_settings
from tests.shrunk import (
    OF_TASKS,
    ROOT,
    assert_refused,
    change,
    run_python,
    shipped,
    write_params,
)

WRITING = ("vocabulary", "max_tokens", "decoding")  # keys of the kind generation


def problems(tmp_path, params) -> list[str]:
    """The lines of the message that refuses `params`."""
    path = write_params(tmp_path / "params.yaml", params)
    with pytest.raises(InputError) as error:
        load_settings(path)
    first, *lines = str(error.value).splitlines()
    assert first == f"{path} cannot be used:"
    return [line.strip() for line in lines]


def edited(key: str, edit) -> dict:
    """The shipped parameters after `edit` of the mapping (or list) at a dotted key."""
    params = shipped()
    node = params
    for part in filter(None, key.split(".")):
        node = node[int(part) if part.isdigit() else part]
    edit(node)
    return params


def test_the_shipped_file_is_valid_and_complete():
    settings = load_settings(ROOT / "params.yaml")
    left_out = {"tasks": {"__all__": {"answers", "query", "target", "goal", *WRITING}}}
    dumped = settings.model_dump(mode="json", by_alias=True, exclude=left_out)
    assert dumped == shipped()


def test_settings_cannot_be_changed():
    settings = load_settings(ROOT / "params.yaml")
    with pytest.raises(ValueError, match="frozen"):
        settings.train.epochs = 1


@pytest.mark.parametrize(
    ("where", "typo", "nearest"),
    [
        ("", "sead", "seed"),
        ("", "register_", "register"),
        ("train", "lerning_rate", "learning_rate"),
        ("ingest.demo", "image", "images"),
        ("preprocess.audio", "samplerate", "sample_rate"),
        ("features.text", "layer", "layers"),
        ("tasks.answer", "wieght", "weight"),
        ("ingest.demo.voices", "trian", "train"),
        ("align", "los", "loss"),
        ("evaluate", "promts", "prompts"),
        ("evaluate.prompts.shape", "template", "templates"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_valid_one(tmp_path, where, typo, nearest):
    params = edited(where, lambda node: node.update({typo: 1}))
    key = f"{where}.{typo}" if where else typo
    (line,) = problems(tmp_path, params)
    assert line.startswith(f"{key}: unknown key. Did you mean '{nearest}'? Valid here: ")


SIZE = {"width": 64, "layers": 2, "heads": 4}
SHAPE = shipped()["tasks"]["shape"]
PROMPTS = shipped()["evaluate"]["prompts"]
SEARCH = {
    "kind": "retrieval", "column": "shape", "query": "text", "target": "image", "weight": 1.0,
}  # fmt: skip
WRITE = SHAPE | {
    "kind": "generation", "vocabulary": 300, "max_tokens": 16, "decoding": "greedy",
}  # fmt: skip


def test_every_problem_is_named_at_once(tmp_path):
    params = change(shipped(), {"seed": -1, "model.rank": "high", "train.encoders.text": "frosen"})
    del params["align"]
    lines = problems(tmp_path, params)
    assert {line.split(":")[0] for line in lines} == {
        "seed", "model.rank", "train.encoders.text", "align",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seed", -1, "greater than or equal to 0, found -1"),
        ("seed", 1.0, "valid integer, found 1.0"),
        ("seed", True, "valid integer, found True"),
        ("workers", 0, "greater than or equal to 1, found 0"),
        ("train.epochs", "7", "valid integer, found '7'"),
        ("train.learning_rate", "3e-3", "valid number, found '3e-3'"),
        ("train.learning_rate", 0, "greater than 0, found 0"),
        ("train.learning_rate", float("nan"), "found nan"),
        ("train.modality_dropout", 1.0, "less than 1, found 1.0"),
        ("ingest.splits.validation", 0.6, "less than or equal to 0.5, found 0.6"),
        ("ingest.slices", "voice", "found 'voice'"),
        ("ingest.source", "demoo", "found 'demoo'. Did you mean 'demo'?"),
        ("model.fusion", "bilinar", "found 'bilinar'. Did you mean 'bilinear'?"),
        ("train.encoders.image", "frosen", "Did you mean 'frozen'? Valid here: frozen, finetune"),
        ("train.encoders", "frozen", "found 'frozen'"),
        ("train.encoder_learning_rates.text", 0, "greater than 0, found 0"),
        ("features.image.encoder", "google/vit@main", "40 hexadecimal digits of a commit"),
        ("features.image.encoder", "../vit", "found '../vit', expected the name of an encoder"),
        ("features.image.encoder", "/tmp/vit", "found '/tmp/vit', expected the name of an encoder"),
        ("features.text.encoder", "package:a/../b", "found 'package:a/../b', expected the name"),
        ("tasks", {}, "at least 1 item"),
        ("tasks.shape", SHAPE | {"goal": 0.0}, "kind is classification, goal is 0.0; expected"),
        ("tasks.shape", SEARCH | {"goal": 0.5}, "kind is retrieval, goal is 0.5; expected"),
        ("tasks.shape", SHAPE | {"goal": 1.5}, "less than or equal to 1, found 1.5"),
        ("train.weighting", "kendall", "Valid here: fixed, uncertainty, gradnorm"),
        ("train.tasks", "largest", "Valid here: all, size, lagging"),
        ("train.modulation", "ogm", "Did you mean 'ogm-ge'? Valid here: none, ogm-ge"),
        ("tasks.shape.decided_by", ["picture"], "found 'picture'. Valid here: image, text, audio"),
        ("tasks.shape.column", "split", "columns split are the pipeline's own"),
        ("tasks.shape.kind", "multilable", "found 'multilable'. Did you mean 'multilabel'?"),
        ("tasks.shape.kind", "vqa", "kind is vqa, answers is None; kind vqa needs answers"),
        ("tasks.shape", SHAPE | {"answers": 9}, "kind is classification, answers is 9"),
        ("tasks.shape", SHAPE | {"kind": "vqa", "answers": 1}, "greater than or equal to 2"),
        (
            "tasks.shape",
            SHAPE | {"column": "voice", "kind": "regression"},
            "columns voice are read",
        ),
        ("tasks.shape", SHAPE | {"column": "answer", "kind": "regression"}, "columns answer are"),
        ("ingest.slices", ["audio_id"], "columns audio_id are the pipeline's own"),
        ("tasks.shape", SHAPE | {"column": "image_id"}, "columns image_id are the pipeline's own"),
        ("tasks.shape", SEARCH | {"column": "split"}, "columns split are the pipeline's own"),
        ("tasks.shape", SEARCH | {"query": "image"}, "query is image, target is image; kind retri"),
        ("tasks.shape", SEARCH | {"target": None}, "query is text, target is None; kind retrieval"),
        ("tasks.shape", SEARCH | {"target": "picture"}, "Valid here: image, text, audio"),
        ("tasks.shape", SEARCH | {"decided_by": []}, "kind is retrieval, decided_by is []; kind"),
        ("tasks.shape", SEARCH | {"decided_by": ["image"]}, "decided_by is ['image']; kind retri"),
        ("tasks.shape", SEARCH | {"answers": 9}, "kind is retrieval, answers is 9"),
        ("tasks.shape", SHAPE | {"query": "text"}, "query is text, target is None; only kind retr"),
        ("tasks.shape", SHAPE | {"decoding": "greedy"}, "no other kind has them"),
        ("tasks.shape", SHAPE | {"kind": "generation"}, "vocabulary is None, max_tokens is None, "),
        ("tasks.shape", WRITE | {"max_tokens": None}, "kind generation needs all three"),
        ("tasks.shape", WRITE | {"max_tokens": 0}, "greater than or equal to 1, found 0"),
        ("tasks.shape", WRITE | {"vocabulary": 256}, "greater than or equal to 257, found 256"),
        ("tasks.shape", WRITE | {"decoding": "beem/4"}, "found 'beem/4', expected greedy, beam"),
        ("tasks.shape", WRITE | {"decoding": "beam"}, "found 'beam', expected greedy, beam/WIDTH"),
        ("tasks.shape", WRITE | {"decoding": "beam/65"}, "found 'beam/65'"),
        ("tasks.shape", WRITE | {"decoding": "nucleus/1.1"}, "found 'nucleus/1.1'"),
        ("tasks.shape", WRITE | {"max_token": 9}, "unknown key. Did you mean 'max_tokens'?"),
        ("tasks.shape", WRITE | {"answers": 9}, "kind is generation, answers is 9"),
        ("tasks.shape", WRITE | {"decided_by": None}, "kind is generation, decided_by is missing"),
        ("tasks.shape", WRITE | {"column": "voice"}, "columns voice are read by tasks of several"),
        ("tasks.shape.decided_by", None, "kind is classification, decided_by is missing"),
        ("tasks", {"shape": SEARCH}, "tasks are all of kind retrieval"),
        ("preprocess.image.size", 40, "multiple of 16, found 40"),
        ("preprocess.audio.hop", 2048, "hop (2048) must not exceed window (1024)"),
        ("preprocess.text.tokenizer", "bert-base-uncased", "40 hexadecimal digits of a commit"),
        ("preprocess.text.tokenizer", "bert-base-uncased@main", "found 'bert-base-uncased@main'"),
        ("preprocess.text.tokenizer", f"a/b/c@{'0' * 40}", "found 'a/b/c@"),
        ("preprocess.text.tokenizer", "../tokenizer.json", "a .json file that lies in pretrained"),
        ("features.text.heads", 5, "heads (5) must divide width (64)"),
        ("features.text.pretrained", "a.safetensors", "needs preprocess.text.tokenizer"),
        ("features.image.pretrained", "a.pt", "found 'a.pt', expected the name of a .safetensors"),
        ("features.image.pretrained", "/tmp/a.safetensors", "lies in the modality's folder"),
        ("features.audio.pretrained", "../a.safetensors", "lies in the modality's folder"),
        ("features.audio.pretrained", 7, "valid string, found 7"),
        ("align.loss", "infoNCE", "found 'infoNCE'. Did you mean 'infonce'?"),
        ("align.loss", "siglip", "Valid here: infonce, sigmoid"),
        ("evaluate.prompts.shape.templates", [], "at least 1 item"),
        ("evaluate.prompts.shape.templates", ["a shape"], "found 'a shape', expected a text with"),
        ("evaluate.prompts.shape.templates", ["{} or {}"], "one {}, where the class goes"),
        ("evaluate.prompts.shape.templates", "a {}", "valid tuple, found 'a {}'"),
        ("evaluate.prompts.shape.words", {"circle": ""}, "at least 1 character"),
        ("evaluate.prompts.shape.words", {3: "three"}, "valid string, found 3"),
        ("evaluate.prompts.shape", "a {}", "found 'a {}'"),
        ("evaluate.prompts", PROMPTS | {"shpae": PROMPTS["shape"]}, "prompts names shpae; only"),
        ("tasks.shape", SEARCH, "only tasks of kind classification can have prompts: answer, col"),
        ("model.norm", "past", "found 'past'. Did you mean 'post'? Valid here: pre, post"),
        ("model.size", "bass", "found 'bass', expected nano, micro, small, base, or a map"),
        ("model.size", 64, "model.size: found 64, expected nano, micro, small, base, or a map"),
        ("model.size", {"width": 64, "layers": 2}, "model.size.heads: the key is missing"),
        ("model.size", SIZE | {"heads": 3}, "model.size: heads (3) must divide width (64)"),
        ("model.size", SIZE | {"width": 4}, "model.size.width: input should be greater than or eq"),
        ("model.size", SIZE | {"head": 4}, "unknown key. Did you mean 'heads'? Valid here: width"),
        ("register.alias", "1st", "found '1st'"),
        ("operate.retrain", "0 25 * * *", "found '0 25 * * *' (bad hour), expected minute, hour"),
        ("operate.evaluate", "@weekly", "found '@weekly' (wrong number of fields), expected"),
        ("operate.timezone", "Berlin", "found 'Berlin', expected a time zone's name"),
        ("operate.drop", "../incoming", "found '../incoming', expected a folder in the project"),
        ("operate.commit", "-f", "found '-f', expected the name of a Git branch"),
        ("operate.notify", "me@example.org", "found 'me@example.org', expected type and name"),
        ("ingest.demo.voices.test", [], "at least 1 item"),
        ("ingest.demo.voices.test", ["en/fast/50"], "found 'en/fast/50', expected accent/speed"),
        ("ingest.demo.voices.test", ["en/500/50"], "less than or equal to 450, found 500"),
    ],
)
def test_a_value_that_is_wrong_is_named_with_its_key(tmp_path, key, value, message):
    lines = problems(tmp_path, change(shipped(), {key: value}))
    assert any(message in line for line in lines), lines
    section = key.rsplit(".", 1)[0]  # a rule over several keys is a rule of their section
    assert all(line.startswith((key, section, "(the whole file)")) for line in lines), lines


def test_a_column_of_words_serves_classification_retrieval_and_slices(tmp_path):
    params = edited("tasks", lambda tasks: tasks.update(find=SEARCH, other=SEARCH))
    params["ingest"]["slices"].append("shape")
    load_settings(write_params(tmp_path / "params.yaml", params))
    params["tasks"]["shape"]["kind"] = "multilabel"
    assert "columns shape are read by tasks of several kinds" in "".join(problems(tmp_path, params))


@pytest.mark.parametrize(
    "decoding", ["greedy", "beam/1", "beam/64", "nucleus/0.9", "nucleus/.95", "nucleus/1"]
)
def test_how_a_text_is_chosen_is_one_word(tmp_path, decoding):
    params = edited("tasks", lambda tasks: tasks.update(write=WRITE | {"decoding": decoding}))
    params["tasks"]["write"]["column"] = "text"
    assert load_settings(write_params(tmp_path / "params.yaml", params)).tasks["write"].decoding


@pytest.mark.parametrize("column", ["sample_id", "image_id", "text_id", "audio_id"])
def test_what_retrieval_shares_may_be_an_id_of_the_samples(tmp_path, column):
    params = edited("tasks", lambda tasks: tasks.update(find=SEARCH | {"column": column}))
    assert load_settings(write_params(tmp_path / "params.yaml", params)).tasks["find"].column


@pytest.mark.parametrize("other", [{"train.tasks": "size"}, {"train.compile": True}], ids=str)
def test_gradnorm_needs_every_task_and_a_model_that_is_not_compiled(tmp_path, other):
    (line,) = problems(tmp_path, change(shipped(), {"train.weighting": "gradnorm", **other}))
    assert line.startswith("train: weighting is gradnorm, ")


@pytest.mark.parametrize("tokenizer", ["mine.json", f"gpt2@{'0a' * 20}", f"a/b-c.d@{'9' * 40}"])
def test_a_pretrained_encoder_and_tokenizer_may_be_named(tmp_path, tokenizer):
    named = {f"features.{m}.pretrained": f"{m}.safetensors" for m in ("image", "text", "audio")}
    params = change(shipped(), named | {"preprocess.text.tokenizer": tokenizer})
    assert load_settings(write_params(tmp_path / "params.yaml", params))


@pytest.mark.parametrize(
    "encoder",
    ["resnet18", f"google/vit-b.16@{'0a' * 20}", f"gpt2@{'9' * 40}", "package:a.b/c/d-e", "mine"],
)
def test_an_encoder_may_be_named_in_every_way(tmp_path, encoder):
    named = {f"features.{m}.encoder": encoder for m in ("image", "text", "audio")}
    assert load_settings(write_params(tmp_path / "params.yaml", change(shipped(), named)))


def test_a_text_encoder_that_brings_its_tokenizer_takes_no_other(tmp_path):
    both = {"features.text.encoder": "mine", "preprocess.text.tokenizer": "mine.json"}
    (line,) = problems(tmp_path, change(shipped(), both))
    assert "features.text.encoder mine brings its tokenizer, so set preprocess.text.tok" in line


def test_files_are_not_dropped_where_they_are_read(tmp_path):
    nested = {"operate.fetch": "drop", "operate.drop": "source/new"}
    (line,) = problems(tmp_path, change(shipped(), nested))
    assert "operate.drop source/new and ingest.root source lie in each other" in line


def test_a_voice_listed_twice_is_named(tmp_path):
    params = edited("ingest.demo.voices", lambda node: node["test"].append(node["train"][0]))
    (line,) = problems(tmp_path, params)
    assert line == "ingest.demo.voices: voices are listed twice: en/150/35"


@pytest.mark.parametrize("key", ["seed", "train.epochs", "tasks.answer.column", "register.alias"])
def test_a_key_that_is_missing_is_named(tmp_path, key):
    section, _, last = key.rpartition(".")
    params = edited(section, lambda node: node.pop(last))
    assert problems(tmp_path, params) == [f"{key}: the key is missing"]


@pytest.mark.parametrize("content", ["", "7", "[seed]"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path, content):
    (tmp_path / "params.yaml").write_text(content)
    with pytest.raises(InputError, match=r"\(the whole file\)"):
        load_settings(tmp_path / "params.yaml")


def test_a_file_that_is_not_yaml_is_refused(tmp_path):
    (tmp_path / "params.yaml").write_text("seed: [0")
    with pytest.raises(InputError, match=r"(?s)params\.yaml is not YAML: .*line 1"):
        load_settings(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("old", "new", "key", "line", "before"),
    [
        ("seed: 0", "seed: 0\nseed: 1", "seed", 2, 1),
        ("a: {b: 1}", "a: {b: 1, c: 2, 'b': 1}", "b", 1, 1),
        ("a: {}", "a:\n  - b: 1\n    c: 2\n    b: 3", "b", 4, 2),
        ("a: {}", "a: &x {b: 1}\nd: {<<: *x, b: 2, b: 3}", "b", 2, 2),
    ],
)
def test_a_key_that_is_there_twice_is_named_with_its_lines(tmp_path, old, new, key, line, before):
    path = tmp_path / "params.yaml"
    path.write_text(new)
    with pytest.raises(InputError) as error:
        load_settings(path)
    message = f"{path}, line {line}: the key {key!r} is in line {before} already. Keep one of them"
    assert str(error.value) == message
    path.write_text(old)  # once is no mistake of this kind
    assert "already" not in "".join(problems(tmp_path, yaml.safe_load(old)))


def test_a_key_may_be_given_again_beside_a_merged_mapping(tmp_path):
    text = (ROOT / "params.yaml").read_text()
    old = "  shape: {kind: classification, column: shape, decided_by: [image], weight: 0.3}"
    new = "  shape: &shape {kind: classification, column: shape, decided_by: [image], weight: 0.3}"
    assert old in text
    text = text.replace(old, f"{new}\n  round: {{<<: *shape, weight: 0.5}}")
    (tmp_path / "params.yaml").write_text(text)
    tasks = load_settings(tmp_path / "params.yaml").tasks
    assert tasks["round"] == tasks["shape"].model_copy(update={"weight": 0.5})


@pytest.mark.parametrize(
    "name",
    [
        "answer.short",
        "a/b",
        "",
        "_modules",
        "transcript",
        "same_image",
        "training",
        "answer_confidence",
    ],
)
def test_a_task_may_have_only_a_name_that_can_be_a_head_and_a_metric(tmp_path, name):
    params = edited("tasks", lambda tasks: tasks.update({name: dict(tasks["answer"])}))
    (line,) = problems(tmp_path, params)
    assert repr(name) in line


def test_no_task_may_have_the_name_of_another_one_s_confidence(tmp_path):
    tasks = {name: dict(shipped()["tasks"]["answer"]) for name in ("sure", "sure_confidence")}
    (line,) = problems(tmp_path, change(shipped(), OF_TASKS | {"tasks": tasks}))
    assert "'sure_confidence'" in line


def test_the_command_says_that_the_shipped_file_is_valid():
    process = run_python("-m", "components.config", cwd=ROOT)
    assert process.returncode == 0
    assert process.stdout == "params.yaml: every key and value is valid\n"


def test_the_command_ends_with_2_and_the_message(tmp_path):
    params = edited("train", lambda node: node.update(epocs=1))
    path = write_params(tmp_path / "mine.yaml", params)
    process = run_python("-m", "components.config", str(path), cwd=tmp_path)
    assert_refused(process, "train.epocs: unknown key. Did you mean 'epochs'?")
    missing = run_python("-m", "components.config", cwd=tmp_path)
    assert_refused(missing, "params.yaml is missing. Name another file with --params")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"promote.alias": "challenger"}, "register.alias and promote.alias are both challenger"),
        ({"promote.suite": "none"}, "maximum_robustness_drop is set, but suite is none"),
        ({"promote.maximum_drop": None}, "require is better, but maximum_drop names no metric"),
        ({"promote.maximum_drop": {}}, "require is better, but maximum_drop names no metric"),
        ({"promote.require": "best"}, "promote.require: found 'best'"),
        ({"promote.confidence": 1.0}, "promote.confidence: input should be less than 1"),
        ({"promote.minimum": {"accuracy/anwser/image": 0.9}}, "Did you mean 'answer'?"),
        ({"promote.minimum": {"accuracy": 0.9}}, "promote is about the tasks ''"),
        ({"promote.maximum_robustness_drop": {"image/size/image": 0.1}}, "about the tasks 'size'"),
        ({"promote.maximum_drop": {"accuracy/shape/image": -0.1}}, "greater than or equal to 0"),
    ],
    ids=str,
)
def test_gates_that_cannot_be_kept_to_are_refused(tmp_path, changes, message):
    (line,) = problems(tmp_path, change(shipped(), changes))
    assert message in line


def test_every_gate_can_be_left_out(tmp_path):
    gates = {f"promote.{k}": None for k in shipped()["promote"] if k.startswith(("min", "max"))}
    params = change(shipped(), gates | {"promote.require": "not_worse", "promote.suite": "none"})
    assert not load_settings(write_params(tmp_path / "params.yaml", params)).promote.minimum
