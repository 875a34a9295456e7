"""Zero-shot classification, against distances computed by hand."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from components.align.contrastive import LOSSES
from components.common.errors import InputError
from components.data.assets import AssetTensors
from components.evaluate.settings import PromptSettings
from components.evaluate.zero_shot import (
    ACCURACY,
    MAJORITY,
    SharedSpace,
    ZeroShotTask,
    class_embeddings,
    prompt_modality,
    shared_space,
    zero_shot_accuracy,
    zero_shot_tasks,
)
from components.huggingface.encoder_file import save_encoder
from components.layers.features import encode
from components.modalities.registry import processing_of
from components.tasks.classification.head import Classification
from components.tasks.classification.settings import ClassificationSettings
from tests.support.tiny_model import build_model, make_model, make_processors

CLASSES = ["cat", "dog", "emu"]
ANIMAL = Classification(CLASSES)
TEXTS = ["a cat", "a dog", "an emu", "the cat sits", "the dog sits", "the emu sits", "a bird"]
PROMPTS = PromptSettings(templates=("a {}", "the {} sits"), words={"emu": "bird"})
ANGLES = {  # in degrees
    **{"a cat": 0.0, "the cat sits": 20.0, "a dog": 90.0, "the dog sits": 90.0},
    **{"a bird": 170.0, "the bird sits": 190.0},
}


def on_circle(*degrees: float) -> Tensor:
    radians = torch.tensor(degrees).deg2rad()
    return torch.stack([radians.cos(), radians.sin()], 1)


class Plane:
    """A space of two dimensions with prompts and assets at known angles."""

    def __init__(self):
        self.assets = {"image": on_circle(12.0, 80.0, 178.0, 55.0), "text": on_circle(100.0, 5.0)}

    def embed(self, texts: list[str]) -> Tensor:
        return on_circle(*(ANGLES[text] for text in texts))


ASSETS = {
    "image": AssetTensors(("i0", "i1", "i2", "i3"), {}),
    "text": AssetTensors(("t0", "t1"), {}),
}
SAMPLES = pd.DataFrame(
    [
        ("i0", "t0", "cat"),  # 12°: the cats' mean is at 10°
        ("i1", None, "dog"),  # 80°: nearest to 90°
        ("i2", "t1", "dog"),  # 178°: an emu, called a bird
        ("i3", None, "cat"),  # 55°: 45 from the cats, 35 from the dogs
        ("i0", None, None),  # unknown
        (None, "t1", "cat"),  # 5°
        ("i2", None, "emu"),
        ("i2", None, "yak"),  # not in training
    ],
    columns=["image_id", "text_id", "animal"],
    dtype="str",
).assign(audio_id=pd.Series([None] * 8, dtype="str"))


def measure(sufficient: tuple[str, ...], samples: pd.DataFrame = SAMPLES) -> dict:
    """Classify the assets of the plane."""
    settings = ClassificationSettings(column="animal", sufficient_modalities=sufficient)
    tasks = {"animal": ZeroShotTask(settings, PROMPTS, ANIMAL)}
    return zero_shot_accuracy(Plane(), samples, ASSETS, tasks)


def test_class_is_the_mean_of_its_prompts():
    found = class_embeddings(Plane(), PROMPTS, ANIMAL)
    torch.testing.assert_close(found, on_circle(10.0, 90.0, 180.0))


def test_accuracy_and_majority_count_known_classes():
    found = measure(())
    assert found[ACCURACY.name]["animal"] == {
        "image": pytest.approx(3 / 5),
        "text": pytest.approx(1 / 3),  # t0, at 100°, is not a cat; t1 is one, but not a dog
    }
    assert found[MAJORITY]["animal"] == {
        "image": pytest.approx(2 / 5),
        "text": pytest.approx(2 / 3),
    }


def test_only_sufficient_modalities_are_classified():
    assert set(measure(("image",))[ACCURACY.name]["animal"]) == {"image"}
    assert measure(("audio",)) == {}


def test_no_label_gives_no_figure():
    assert measure((), SAMPLES.assign(animal=pd.Series([None] * 8, dtype="str"))) == {}


@pytest.fixture(scope="module")
def settings() -> dict[str, ClassificationSettings]:
    return {"animal": ClassificationSettings(column="animal")}


@pytest.fixture(scope="module")
def model(settings):
    return build_model(settings, {"animal": {"classes": CLASSES}})


def test_words_of_unknown_classes_are_refused(settings, model):
    prompts = PromptSettings(templates=("a {}",), words={"cat": "kitten", "dgo": "puppy"})
    message = (
        "evaluate.prompts.animal.words: unknown classes 'dgo'. The task has: 'cat', 'dog', 'emu'"
    )
    with pytest.raises(InputError, match=message):
        zero_shot_tasks({"animal": prompts}, settings, model)
    found = zero_shot_tasks({"animal": PROMPTS}, settings, model)
    assert found["animal"].learnt.classes == CLASSES
    assert zero_shot_tasks({}, settings, model) == {}


def test_prompts_need_a_model_of_texts():
    assert prompt_modality(make_model().config) == "text"
    config = make_model(modalities=("image", "audio")).config
    with pytest.raises(InputError, match="evaluate.prompts: no sample of the training split has t"):
        prompt_modality(config)


def space_of(folder, then, now) -> SharedSpace:
    """Return the space that the align stage left with the weights of a model.

    Args:
        folder: to write to.
        then: the model at that time.
        now: the trained model.
    """
    heads = {("pooled", "shape"): {"bias": torch.zeros(2)}}  # which are of no use here
    save_encoder(folder / "text.safetensors", then.encoder("text"), None, heads)
    save_file(then.projections.state_dict(), folder / "projections")
    save_file({"text": torch.zeros(1, 8)}, folder / "embeddings")
    files = (folder, folder / "projections", folder / "embeddings")
    return shared_space(now, make_processors(text=" ".join(TEXTS)), *files)


def test_prompts_are_embedded_with_weights_of_the_align_stage(tmp_path):
    """Not with what joint training has made of them."""
    then, now = make_model(seed=1), make_model(seed=2)
    before = {name: value.clone() for name, value in now.state_dict().items()}
    space = space_of(tmp_path, then, now)
    processor = processing_of("text").build(make_processors(text=" ".join(TEXTS))["text"])
    inputs = {
        name: torch.as_tensor(value)
        for name, value in processor([text.encode() for text in TEXTS]).items()
    }
    pooled = encode(then.encoder("text"), inputs, torch.arange(len(TEXTS))).pooled
    expected = F.normalize(then.projections["text"].pooled(pooled), dim=1).detach()
    torch.testing.assert_close(space.embed(TEXTS), expected)
    assert all(value.equal(before[name]) for name, value in now.state_dict().items())


def align(space: SharedSpace, images: Tensor, captions: list[str]) -> None:
    """Train the projections on features of images and their captions, as the align stage does."""
    inputs = space.processor([text.encode() for text in captions])
    tensors = {name: torch.as_tensor(value) for name, value in inputs.items()}
    pooled = encode(space.encoder, tensors, torch.arange(len(captions))).pooled
    positive = torch.tensor([[a == b for b in captions] for a in captions])
    loss = LOSSES["infonce"](["image and text"])
    optimizer = torch.optim.AdamW([*space.projections.parameters(), *loss.parameters()], 0.02)
    for _ in range(60):
        left, right = (
            space.projections.embed("image", images),
            space.projections.embed("text", pooled),
        )
        optimizer.zero_grad()
        loss("image and text", left, right, positive).backward()
        optimizer.step()


def test_classes_named_by_captions_are_recognised(tmp_path):
    torch.manual_seed(0)
    model = make_model(fresh=True)
    space = space_of(tmp_path, model, model)
    labels = [CLASSES[number % 3] for number in range(24)]
    images = torch.randn(3, 8).repeat(8, 1) + 0.1 * torch.randn(24, 8)  # features
    align(space, images[:12], [f"the {animal} sits" for animal in labels[:12]])
    with torch.no_grad():
        space = replace(space, assets={"image": space.projections.embed("image", images)})
    ids = [f"i{number}" for number in range(24)]
    samples = pd.DataFrame({"image_id": ids[12:], "animal": labels[12:]}, dtype="str")
    assets = {"image": AssetTensors(tuple(ids), {})}
    settings = ClassificationSettings(column="animal", sufficient_modalities=("image",))
    prompts = PromptSettings(templates=("a {}", "the {} sits"))
    tasks = {"animal": ZeroShotTask(settings, prompts, ANIMAL)}
    found = zero_shot_accuracy(space, samples, assets, tasks)
    assert found[ACCURACY.name] == {"animal": {"image": 1.0}}
