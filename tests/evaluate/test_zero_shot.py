"""Which class's prompt is the nearest, against distances computed by hand."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from components.modalities.registry import MODALITIES
from safetensors.torch import save_file
from torch.nn import functional as F

from components.align.contrast import LOSSES
from components.common.errors import InputError
from components.data.assets import AssetTensors
from components.evaluate.zero_shot import Space, check, class_embeddings, measure
from components.layers.features import encode
from components.modalities.text.processing import TextProcessor, train_tokenizer
from components.tasks.classification.head import Classification
from components.tasks.settings import PromptSettings, TaskSettings
from tests.model.worlds import make_model
from tests.shrunk import small_settings

KIND = Classification(["cat", "dog", "emu"])
TEXTS = ["a cat", "a dog", "an emu", "the cat sits", "the dog sits", "the emu sits", "a bird"]
ASKED = PromptSettings(templates=["a {}", "the {} sits"], words={"emu": "bird"})


def angle(*degrees: float) -> torch.Tensor:
    radians = torch.tensor(degrees).deg2rad()
    return torch.stack([radians.cos(), radians.sin()], 1)


PLACES = {
    **{"a cat": 0.0, "the cat sits": 20.0, "a dog": 90.0, "the dog sits": 90.0},
    **{"a bird": 170.0, "the bird sits": 190.0},
}


class Plane:
    """A space of two dimensions in which every prompt and asset lies where it is put."""

    def __init__(self):
        self.assets = {"image": angle(12.0, 80.0, 178.0, 55.0), "text": angle(100.0, 5.0)}

    def texts(self, texts: list[str]) -> torch.Tensor:
        return angle(*(PLACES[text] for text in texts))


ASSETS = {
    "image": AssetTensors(("i0", "i1", "i2", "i3"), {}),
    "text": AssetTensors(("t0", "t1"), {}),
}
SAMPLES = pd.DataFrame(
    [
        ("i0", "t0", "cat"),  # 12°: the cats' mean lies at 10°
        ("i1", None, "dog"),  # 80°: nearest to 90°
        ("i2", "t1", "dog"),  # 178°: an emu, called a bird
        ("i3", None, "cat"),  # 55°: 45 from the cats, 35 from the dogs
        ("i0", None, None),  # nobody knows what it is
        (None, "t1", "cat"),  # 5°
        ("i2", None, "emu"),
        ("i2", None, "yak"),  # which training never had
    ],
    columns=["image_id", "text_id", "animal"],
    dtype="str",
).assign(audio_id=pd.Series([None] * 8, dtype="str"))


def measured(decided_by: tuple[str, ...], samples: pd.DataFrame = SAMPLES) -> dict:
    task = TaskSettings(column="animal", decided_by=decided_by, weight=1.0)
    return measure(Plane(), samples, ASSETS, {"animal": task}, {"animal": ASKED}, {"animal": KIND})


def test_a_class_lies_in_the_middle_of_its_prompts():
    torch.testing.assert_close(class_embeddings(Plane(), ASKED, KIND), angle(10.0, 90.0, 180.0))


def test_accuracy_and_chance_count_the_samples_whose_class_is_known():
    found = measured(())
    assert found["zero_shot_accuracy"]["animal"] == {
        "image": pytest.approx(3 / 5),
        "text": pytest.approx(1 / 3),  # t0, at 100°, is no cat; t1 is one, but no dog
    }
    assert found["zero_shot_chance"]["animal"] == {
        "image": pytest.approx(2 / 5),
        "text": pytest.approx(2 / 3),
    }


def test_only_modalities_that_decide_the_task_are_asked():
    assert set(measured(("image",))["zero_shot_accuracy"]["animal"]) == {"image"}


def test_where_no_sample_has_a_label_there_is_no_figure():
    assert measured((), SAMPLES.assign(animal=pd.Series([None] * 8, dtype="str"))) == {}


def test_words_for_a_class_that_there_is_not_are_the_user_s_mistake():
    asked = PromptSettings(templates=["a {}"], words={"cat": "kitten", "dgo": "puppy"})
    message = (
        "evaluate.prompts.animal.words: 'dgo' are no classes of the task. It has: 'cat', 'dog'"
    )
    with pytest.raises(InputError, match=message):
        check({"animal": asked}, {"animal": KIND}, MODALITIES)
    check({"animal": ASKED}, {"animal": KIND}, MODALITIES)


def test_prompts_need_texts_to_have_been_learnt():
    with pytest.raises(InputError, match="evaluate.prompts: no sample of the training split has a"):
        check({"animal": ASKED}, {"animal": KIND}, ("image", "audio"))
    check({}, {"animal": KIND}, ("image", "audio"))


def files(folder, model) -> list:
    """The text encoder, the projections and the embeddings as the stages before leave them."""
    paths = [folder / name for name in ("encoder", "projections", "embeddings")]
    save_file(model.encoders["text"].state_dict(), paths[0])
    save_file(model.projections.state_dict(), paths[1])
    save_file({"text": torch.zeros(1, 8)}, paths[2])
    return paths


def test_prompts_are_embedded_as_the_align_stage_embedded_texts(tmp_path):
    """By the weights of that time, not by those that training has made of them since."""
    then, now = make_model(seed=1), make_model(seed=2)
    tokenizer = train_tokenizer(TEXTS, small_settings().preprocess.text)
    before = {name: value.clone() for name, value in now.state_dict().items()}
    space = Space.of(now, tokenizer, *files(tmp_path, then))
    tensors = TextProcessor(small_settings().preprocess.text, tokenizer)(
        [text.encode() for text in TEXTS]
    )
    inputs = {name: torch.as_tensor(value) for name, value in tensors.items()}
    pooled = encode(then.encoders["text"], inputs, torch.arange(len(TEXTS))).pooled
    expected = F.normalize(then.projections["text"].pooled(pooled), dim=1).detach()
    torch.testing.assert_close(space.texts(TEXTS), expected)
    assert all(value.equal(before[name]) for name, value in now.state_dict().items())


def learn(space: Space, images: torch.Tensor, captions: list[str]) -> None:
    """Train the projections on features of images and their captions, as the align stage does."""
    inputs = space.processor([text.encode() for text in captions])
    tensors = {name: torch.as_tensor(value) for name, value in inputs.items()}
    pooled = encode(space.encoder, tensors, torch.arange(len(captions))).pooled
    same = torch.tensor([[a == b for b in captions] for a in captions])
    contrast = LOSSES["infonce"](["image–text"])
    optimiser = torch.optim.AdamW([*space.projections.parameters(), *contrast.parameters()], 0.02)
    for _ in range(60):
        left, right = (
            space.projections.embed("image", images),
            space.projections.embed("text", pooled),
        )
        optimiser.zero_grad()
        contrast("image–text", left, right, same).backward()
        optimiser.step()


def test_classes_that_only_captions_named_are_told_apart(tmp_path):
    torch.manual_seed(0)
    model = make_model(fresh=True)
    tokenizer = train_tokenizer(TEXTS, small_settings().preprocess.text)
    space = Space.of(model, tokenizer, *files(tmp_path, model))
    shown = [KIND.classes[number % 3] for number in range(24)]
    images = torch.randn(3, 8).repeat(8, 1) + 0.1 * torch.randn(24, 8)  # features
    learn(space, images[:12], [f"the {animal} sits" for animal in shown[:12]])
    with torch.no_grad():
        space = replace(space, assets={"image": space.projections.embed("image", images)})
    ids = [f"i{number}" for number in range(24)]
    samples = pd.DataFrame({"image_id": ids[12:], "animal": shown[12:]}, dtype="str")
    assets = {"image": AssetTensors(tuple(ids), {})}
    task = TaskSettings(column="animal", decided_by=("image",), weight=1.0)
    asked = PromptSettings(templates=["a {}", "the {} sits"], words={})
    found = measure(space, samples, assets, {"animal": task}, {"animal": asked}, {"animal": KIND})
    assert found["zero_shot_accuracy"] == {"animal": {"image": 1.0}}
