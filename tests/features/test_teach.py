"""What the encoders are taught, and the features that they leave."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from components.modalities.registry import MODALITIES
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from components.common.errors import InputError
from components.common.hashing import content_id
from components.data.assets import AssetTensors, load_assets
from components.data.shards import Asset, MediaWriter, read_media, transform
from components.data.tables import HISTORY, read_table, write_table
from components.features import audio, image, teach, text
from components.features.words import Words, words
from components.modalities.encoders import build_encoder
from components.modalities.image.encoders.convolutional import ConvolutionalImageEncoder
from components.tasks.multilabel.head import Multilabel
from components.tasks.settings import TaskSettings
from components.training.checkpoint import Checkpoint
from tests.model.worlds import (
    CLASSES,
    EVERY_TASK,
    EVERY_VOCABULARY,
    TASKS,
    VOCABULARY,
    ids_of,
    label_every_task,
    make_inputs,
    make_table,
)
from tests.shrunk import small_settings

SETTINGS = small_settings()
COUNT = 24


def assets_of(modality: str) -> AssetTensors:
    return AssetTensors(tuple(ids_of(modality, COUNT)), make_inputs(COUNT)[modality])


def lesson(modality: str, epochs: int = 40, **more) -> teach.Lesson:
    """Teach a tiny encoder to tell even assets from odd ones."""
    torch.manual_seed(0)
    options = getattr(SETTINGS.features, modality)
    return teach.Lesson(
        modality=modality,
        encoder=build_encoder(modality, SETTINGS.preprocess, SETTINGS.features),
        assets=assets_of(modality),
        rows={"train": torch.arange(0, 20), "validation": torch.arange(20, COUNT)},
        objectives={"parity": teach.Objective(torch.arange(COUNT) % 2, 2, 1.0)},
        options=options.model_copy(
            update={
                "epochs": epochs,
                "batch": 8,
                "learning_rate": 0.02,
                "dropout": 0.0,
                "label_smoothing": 0.0,
            }
        ),
        **more,
    )


@pytest.mark.parametrize("modality", MODALITIES)
def test_an_encoder_learns_its_training_assets(tmp_path, modality):
    course = lesson(modality)
    history = teach.teach(course, 0, Checkpoint(tmp_path / "c", "a"))
    losses = history[history["series"] == "loss"]["value"].to_numpy()
    assert losses[-1] < 0.2 * losses[0]
    measured = history[history["series"] == "accuracy"]
    assert len(measured) == 40 and measured["value"].between(0, 1).all()


def test_validation_assets_are_not_learnt_from(tmp_path):
    weights = []
    for broken in (False, True):
        course = lesson("image", epochs=2)
        if broken:
            course.assets.tensors["pixels"][20:] = 0
        teach.teach(course, 0, Checkpoint(tmp_path / "c", "a"))
        weights.append(course.encoder.state_dict())
    assert all(value.equal(weights[1][name]) for name, value in weights[0].items())


@pytest.mark.parametrize("modality", MODALITIES)
def test_without_training_assets_an_encoder_stays_as_it_was_drawn(tmp_path, modality):
    course = lesson(modality)
    course.rows["train"] = torch.arange(0)
    before = {name: value.clone() for name, value in course.encoder.state_dict().items()}
    history = teach.teach(course, 0, Checkpoint(tmp_path / "c", "a"))
    write_table(tmp_path / "history.csv", history, HISTORY)
    assert read_table(tmp_path / "history.csv", HISTORY).empty
    after = course.encoder.state_dict()
    assert all(value.equal(after[name]) for name, value in before.items())


def found_again(encoder: torch.nn.Module, batch: teach.Batch, view) -> float:
    """The share of the assets whose view is nearest to another view of the same asset."""
    torch.manual_seed(1)
    encoder.eval()
    with torch.no_grad():
        one, other = (F.normalize(encoder(**view(batch)).pooled, dim=-1) for _ in range(2))
    return float(((one @ other.T).argmax(1) == torch.arange(len(one))).float().mean())


def test_without_labels_images_teach_their_encoder_what_two_views_share(tmp_path):
    view = partial(image.view, mirror=True)
    course = lesson("image")
    changes = {"width": 16, "epochs": 40, "batch": 20, "learning_rate": 0.005}
    options = course.options.model_copy(update=changes)
    torch.manual_seed(0)
    encoder = ConvolutionalImageEncoder(SETTINGS.preprocess.image, options)
    pixels = course.assets.tensors["pixels"]
    plain = {"pixels": pixels[:, :, :1, :1].expand_as(pixels)}  # each image of one colour
    course.assets.tensors.update(plain)
    before = found_again(encoder, plain, view)
    course = replace(course, encoder=encoder, options=options, objectives={})
    history = teach.teach(teach.by_views(course, view), 0, Checkpoint(tmp_path / "c", "a"))
    assert set(history["task"]) == {"same_image"}
    losses = history["value"].to_numpy()
    assert losses[-5:].mean() < 0.8 * losses[0]
    assert found_again(encoder, plain, view) > before + 0.2


def test_without_transcripts_sounds_teach_their_encoder(tmp_path):
    options = SETTINGS.preprocess.audio
    view = audio.Augment(options.mels, options.frames)
    course = lesson("audio", epochs=20)
    course.objectives.clear()
    course = teach.by_views(course, view)
    history = teach.teach(course, 0, Checkpoint(tmp_path / "c", "a"))
    assert set(history["task"]) == {"same_audio"}
    losses = history["value"].to_numpy()
    assert losses[-3:].mean() < 0.9 * losses[0]


def test_views_disagree_as_far_as_others_are_nearer():
    one = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    # the partner has cosine 1, the two views of the other asset 0: -log(e^s / (e^s + 2))
    agreed = torch.log1p(2 * torch.exp(torch.tensor(-teach.INVERSE_TEMPERATURE)))
    torch.testing.assert_close(teach.disagreement(one, 2 * one), agreed)
    assert teach.disagreement(one, one.flip(0)) > teach.INVERSE_TEMPERATURE
    assert teach.disagreement(one[:1], one[1:]).item() == 0  # there is no other to tell it from


@pytest.mark.parametrize("mirror", [True, False])
def test_a_view_is_a_part_of_the_image_in_another_light(mirror):
    size = 32
    ramp = torch.linspace(40, 200, size)
    pixels = torch.stack(
        [ramp.expand(size, size), ramp[:, None].expand(size, size), ramp.flip(0).expand(size, size)]
    )
    batch = {"pixels": pixels.to(torch.uint8).expand(64, 3, size, size)}
    torch.manual_seed(0)
    seen = image.view(batch, mirror)["pixels"]
    assert seen.shape == batch["pixels"].shape and seen.dtype == torch.uint8
    assert len(seen.flatten(1).unique(dim=0)) == 64  # each image changed in its own way
    across = seen[:, 0].float().diff(dim=-1).sum((1, 2))
    assert (across < 0).any() == mirror and (across > 0).any()  # some are mirrored, some are not
    down = seen[:, 1].float().diff(dim=-2).sum((1, 2))
    assert (down >= 0).all()  # none stands on its head
    torch.manual_seed(0)
    assert image.view(batch, mirror)["pixels"].equal(seen)


def test_without_validation_assets_there_is_no_accuracy(tmp_path):
    course = lesson("audio", epochs=1)
    course.rows["validation"] = torch.arange(0)
    history = teach.teach(course, 0, Checkpoint(tmp_path / "c", "a"))
    assert set(history["series"]) == {"loss"}


def test_a_batch_without_a_label_teaches_nothing_and_breaks_nothing():
    course = lesson("text")
    course.objectives["parity"].targets.fill_(-1)
    loss = teach._losses(course, teach.Teacher(course), torch.arange(8))
    sum(loss.values()).backward()
    assert loss["parity"].item() == 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in course.encoder.parameters())


def test_only_tasks_that_the_modality_decides_are_taught():
    table = make_table(30, COUNT, missing=0.0)
    by_image = teach.task_objectives("image", assets_of("image"), table, TASKS, VOCABULARY)
    assert set(by_image) == {"shape"}
    assert by_image["shape"].outputs == 2
    ids = list(assets_of("image").ids)
    for asset, target in zip(ids, by_image["shape"].targets.tolist(), strict=True):
        labels = table.loc[table["image_id"] == asset, "shape"]
        assert target == (-1 if labels.empty else CLASSES["shape"].index(labels.iloc[0]))


def test_a_task_that_writes_is_not_taught_and_may_have_several_texts_an_asset():
    table = label_every_task(make_table(30, COUNT, missing=0.0), COUNT)
    found = teach.task_objectives("image", assets_of("image"), table, EVERY_TASK, EVERY_VOCABULARY)
    assert set(found) == {"tags"} and "image" in EVERY_TASK["caption"].decided_by


def test_a_label_that_the_modality_does_not_decide_is_the_user_s_mistake():
    table = make_table(60, 3, missing=0.0)
    with pytest.raises(InputError, match="Remove text from decided_by"):
        teach.task_objectives("text", assets_of("text"), table, TASKS, VOCABULARY)


def test_labels_of_every_kind_that_an_image_decides_are_taught(tmp_path):
    assets = assets_of("image")
    parity = {asset: place % 2 for place, asset in enumerate(assets.ids)}
    odd = pd.Series([parity[asset] for asset in assets.ids])
    table = pd.DataFrame({"image_id": assets.ids}, dtype="str").assign(
        tags=odd.map({0: (), 1: ("odd", "uneven")}),
        size=odd.astype(float),
        reply=odd.map({0: ("even",) * 10, 1: ("odd",) * 10}),
    )
    table = pd.concat([table, table[:5]])  # several samples may share an image
    options = {"column": "tags", "decided_by": ("image",), "weight": 1.0}
    tasks = {
        "tags": TaskSettings(kind="multilabel", **options),
        "size": TaskSettings(kind="regression", **options | {"column": "size"}),
        "reply": TaskSettings(kind="vqa", answers=2, **options | {"column": "reply"}),
    }
    vocabulary = {
        "tags": {"classes": ["odd", "uneven"]},
        "size": {"mean": 0.5, "deviation": 0.5},
        "reply": {"classes": ["even", "odd"]},
    }
    course = lesson("image", epochs=25)
    course.objectives.clear()
    course.objectives.update(teach.task_objectives("image", assets, table, tasks, vocabulary))
    history = teach.teach(course, 0, Checkpoint(tmp_path / "c", "a"))
    last = history[(history["epoch"] == 24) & (history["series"] == "loss")]
    first = history[(history["epoch"] == 0) & (history["series"] == "loss")]
    for task in tasks:
        losses = [rows.loc[rows["task"] == task, "value"].item() for rows in (first, last)]
        assert losses[1] < 0.3 * losses[0], task
    assert set(history["series"]) == {"loss", "f1", "absolute_error", "soft_score"}
    table.iloc[-1, table.columns.get_loc("size")] = 7.0
    with pytest.raises(InputError, match=r"has the labels '\d\.0', '7\.0' in column 'size'"):
        teach.task_objectives("image", assets, table, tasks, vocabulary)


def test_a_sound_s_transcript_is_its_text_among_the_training_texts():
    ids, texts = ids_of("audio", 4), ids_of("text", 3)
    table = pd.DataFrame(
        {
            "split": ["train", "train", "validation", "test"],
            "audio_id": ids,
            "text_id": [texts[1], texts[0], texts[1], texts[2]],
        },
        dtype="str",
    )
    assets = AssetTensors(tuple(ids), {})
    objective = audio.transcript_objective(assets, table, Path("unread"), 1.0)
    order = sorted(texts[:2])
    assert objective.outputs == 2
    assert objective.targets.tolist() == [
        order.index(texts[1]), order.index(texts[0]), order.index(texts[1]), -1,
    ]  # fmt: skip


def test_texts_that_no_sound_of_training_says_are_no_classes():
    ids, texts = ids_of("audio", 2), ids_of("text", 4)
    table = pd.DataFrame(
        {"split": "train", "audio_id": [*ids, None, None], "text_id": texts}, dtype="str"
    )
    assets = AssetTensors(tuple(ids), {})
    assert audio.transcript_objective(assets, table, Path("unread"), 1.0).outputs == 2


SAYINGS = ("A red dog.", "the dog, the RED dog", "a cat", "une école", "a fox", "…")


def said_by(folder, sayings=SAYINGS) -> tuple[AssetTensors, pd.DataFrame]:
    """Sounds that say these texts, the last two in validation, and one that says nothing known."""
    writer = MediaWriter(folder)
    assets = [Asset(content_id(said.encode()), said.encode()) for said in sayings]
    for asset in assets:
        writer.add(asset)
    writer.close()
    ids = ids_of("audio", len(sayings) + 1)
    split = ["train"] * (len(sayings) - 2) + ["validation", "validation", "train"]
    texts = [*(asset.asset_id for asset in assets), None]
    table = pd.DataFrame({"split": split, "audio_id": ids, "text_id": texts}, dtype="str")
    return AssetTensors(tuple(ids), {}), table


def test_where_many_texts_are_said_the_words_are_taught(tmp_path, monkeypatch):
    assets, table = said_by(tmp_path)
    monkeypatch.setattr(audio, "MANY_TEXTS", 3)
    objective = audio.transcript_objective(assets, table, tmp_path, 0.5)
    assert objective.kind is Words and objective.weight == 0.5
    vocabulary = ["a", "dog", "red", "cat", "the", "une", "école"]  # in two texts, then in one
    assert objective.outputs == len(vocabulary)
    assert objective.kind.known(objective.targets).tolist() == [True] * 6 + [False]
    found = [
        {vocabulary[int(code)] for code, score in target if score == 1}
        for target in objective.targets[:-1].tolist()
    ]
    assert found == [
        {"a", "red", "dog"}, {"the", "dog", "red"}, {"a", "cat"}, {"une", "école"}, {"a"}, set(),
    ]  # fmt: skip
    monkeypatch.setattr(audio, "MANY_TEXTS", 4)
    assert audio.transcript_objective(assets, table, tmp_path, 0.5).outputs == 4


def test_only_the_most_frequent_words_are_taught(tmp_path, monkeypatch):
    assets, table = said_by(tmp_path)
    monkeypatch.setattr(audio, "MANY_TEXTS", 1)
    monkeypatch.setattr("components.features.words.MOST", 2)
    assert audio.transcript_objective(assets, table, tmp_path, 1.0).outputs == 2


@pytest.mark.parametrize("sayings", [("…", "?!", "--", "!"), ("👍", "👎", "👏", "🙏")])
def test_texts_without_words_teach_nothing(tmp_path, monkeypatch, sayings):
    assets, table = said_by(tmp_path, sayings)
    monkeypatch.setattr(audio, "MANY_TEXTS", 1)
    assert audio.transcript_objective(assets, table, tmp_path, 1.0).outputs == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A dog isn’t on the mat, it's 'quoted'.", "a|dog|isn’t|on|the|mat|it's|quoted"),
        ("The dog, THE Dog", "the|dog"),
        ("Straße ÉCOLE 12:30 don't-stop", "strasse|école|12|30|don't|stop"),
        ("这是什么? hello世界", "这|是|什|么|hello|世|界"),
        ("ひらカ", "ひ|ら|カ"),
        ("नमस्ते दुनिया", "नमस्ते|दुनिया"),
        ("مرحبا بالعالم", "مرحبا|بالعالم"),
        ("한국어 문장", "한국어|문장"),
        ("👍 …", ""),
    ],
)
def test_words_of_any_language(text, found):
    assert words(text) == tuple(filter(None, found.split("|")))


def test_words_are_learnt_and_their_quality_is_f1():
    targets = Words(classes=["a", "b", "c"]).targets(pd.Series([("a", "c"), ("b",), ()]))
    exact = torch.tensor([[9.0, -9.0, 9.0], [-9.0, 9.0, -9.0], [-9.0, -9.0, -9.0]])
    assert Words.quality(exact, targets) == 1.0
    assert Words.loss(exact, targets) < 0.01 < Words.loss(-exact, targets)
    dense = torch.tensor([[1.0, 0, 1], [0, 1, 0], [0, 0, 0]])
    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Words.loss(logits, targets), Multilabel.loss(logits, dense))
    assert Words.quality(logits, targets) == Multilabel.quality(logits, dense)


def test_an_encoder_learns_which_words_it_hears(tmp_path):
    course = lesson("audio")
    kind = Words(classes=["even", "odd", "number"])
    labels = [(["even", "odd"][place % 2], "number") for place in range(COUNT)]
    course.objectives.clear()
    course.objectives["transcript"] = teach.Objective(
        kind.targets(pd.Series(labels)), kind.outputs, 1.0, Words
    )
    history = teach.teach(course, 0, Checkpoint(tmp_path / "c", "a"))
    losses = history[history["series"] == "loss"]["value"].to_numpy()
    assert losses[-1] < 0.2 * losses[0]
    assert set(history["series"]) == {"loss", "f1"}


def test_augmented_sound_keeps_its_form_and_its_padding():
    options = SETTINGS.preprocess.audio
    batch = make_inputs(16)["audio"]
    torch.manual_seed(0)
    changed = audio.Augment(options.mels, options.frames)(batch)
    assert changed["mels"].shape == batch["mels"].shape
    assert (changed["lengths"] >= batch["lengths"]).all()
    assert (changed["lengths"] <= options.frames).all()
    for mels, length in zip(changed["mels"], changed["lengths"], strict=True):
        assert (mels[:, length:] == 0).all()
    assert not changed["mels"].equal(batch["mels"])
    torch.manual_seed(0)
    again = audio.Augment(options.mels, options.frames)(batch)
    assert again["mels"].equal(changed["mels"])


@pytest.mark.parametrize("mirror", [True, False])
def test_an_augmented_image_is_itself_or_its_mirror_moved_a_little(mirror):
    batch = make_inputs(16)["image"]
    torch.manual_seed(0)
    changed = image.augment(batch, mirror)["pixels"]
    reach = changed.shape[-1] // 16
    assert reach

    def moves(whole: torch.Tensor) -> list[set[tuple[int, int]]]:
        """For each image the moves that make it its augmented self."""
        padded = F.pad(whole.float(), (reach,) * 4, mode="replicate")
        windows = padded.unfold(2, whole.shape[2], 1).unfold(3, whole.shape[3], 1)
        same = (windows == changed[:, :, None, None]).flatten(4).all(-1).all(1)  # [16, moves…]
        return [{tuple(place) for place in found.nonzero().tolist()} for found in same]

    kept, mirrored = moves(batch["pixels"]), moves(batch["pixels"].flip(-1))
    assert all(len(a) + len(b) == 1 for a, b in zip(kept, mirrored, strict=True))
    assert any(kept) and any(mirrored) == mirror
    assert len(set().union(*kept, *mirrored)) == 1  # the same for the whole batch


@pytest.mark.parametrize("lengths", ["full", "one token each"])
def test_text_teaches_itself_from_texts_of_any_length(lengths):
    torch.manual_seed(0)
    encoder = build_encoder("text", SETTINGS.preprocess, SETTINGS.features)
    batch = make_inputs(6)["text"]
    if lengths != "full":
        batch = {"tokens": batch["tokens"], "lengths": torch.ones(6, dtype=torch.int64)}
    for _ in range(5):  # now and then no token at all is masked
        losses = text.self_supervised(encoder, batch)
        sum(losses.values()).backward()
        assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad.isfinite().all() for p in encoder.parameters() if p.grad is not None)


def write_tensors(media, tensors, numbers):
    """A media set, and tensors that follow from it, as a preprocess stage leaves them."""
    writer = MediaWriter(media)
    for number in numbers:
        content = str(number).encode()
        writer.add(Asset(content_id(content), content))
    writer.close()

    def convert(shard, path):
        seeds = [int(content) for content in read_media(media, shard)]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        noise = [torch.randint(0, 256, (3, 16, 16), generator=g) for g in generators]
        save_file({"pixels": torch.stack(noise).to(torch.uint8)}, path)

    transform(media, tensors, convert, [], 1, "test")


def test_features_are_made_again_only_where_assets_changed_and_are_those_of_a_fresh_run(tmp_path):
    torch.manual_seed(0)
    encoder = build_encoder("image", SETTINGS.preprocess, SETTINGS.features)
    weights = tmp_path / "weights"
    weights.write_bytes(b"these weights")
    numbers = list(range(700))
    write_tensors(tmp_path / "media", tmp_path / "tensors", numbers)
    teach.encode_all(encoder, weights, [], tmp_path / "tensors", tmp_path / "features")
    before = {p.name: p.stat().st_ino for p in (tmp_path / "features").glob("*.safetensors")}
    write_tensors(tmp_path / "media", tmp_path / "tensors", [*numbers, 1000])
    teach.encode_all(encoder, weights, [], tmp_path / "tensors", tmp_path / "features")
    after = {p.name: p.stat().st_ino for p in (tmp_path / "features").glob("*.safetensors")}
    assert len(before) > 1
    assert len(before.items() & after.items()) >= len(before) - 1
    teach.encode_all(encoder, weights, [], tmp_path / "tensors", tmp_path / "fresh")
    for path in (tmp_path / "fresh").iterdir():
        assert path.read_bytes() == (tmp_path / "features" / path.name).read_bytes()
    first = next((tmp_path / "features").glob("*.safetensors"))
    assert set(load_file(first)) == {"tokens", "lengths", "pooled"}
    assets = load_assets(tmp_path / "features")
    assert assets.ids == load_assets(tmp_path / "tensors").ids
    weights.write_bytes(b"other weights")
    teach.encode_all(encoder, weights, [], tmp_path / "tensors", tmp_path / "features")
    assert not set(before) & {p.name for p in (tmp_path / "features").glob("*.safetensors")}
