"""Feature shards: encoded again only where assets changed, with the bytes of a fresh run."""

import torch
from safetensors.torch import load_file, save_file

from components.common.hashing import content_id
from components.data.assets import load_assets
from components.data.shards import Asset, MediaWriter, read_media, transform
from components.features.encode_shards import encode_shards
from components.features.settings import settings_for
from components.modalities.registry import encoders_of
from tests.support.params import small_settings

SETTINGS = small_settings(settings_for("image"))


def write_tensors(media, tensors, numbers):
    """Write a media set, and tensors that follow from it, as the stage preprocess leaves them."""
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


def test_only_changed_shards_are_encoded(tmp_path, monkeypatch):
    torch.manual_seed(0)
    encoder = encoders_of("image").build(SETTINGS.preprocess.image, SETTINGS.features.image, None)
    weights, features = tmp_path / "weights", tmp_path / "features"
    weights.write_bytes(b"these weights")
    numbers = list(range(700))

    def encode(target=features):
        encode_shards(encoder, weights, [], tmp_path / "tensors", target)
        return {path.name: path.stat().st_ino for path in target.glob("*.safetensors")}

    write_tensors(tmp_path / "media", tmp_path / "tensors", numbers)
    before = encode()
    write_tensors(tmp_path / "media", tmp_path / "tensors", [*numbers, 1000])
    after = encode()
    assert len(before) > 1
    assert len(before.items() & after.items()) >= len(before) - 1
    with monkeypatch.context() as one:
        one.setattr("components.features.encode_shards.AT_ONCE", 1)
        encode(tmp_path / "fresh")
    for path in (tmp_path / "fresh").iterdir():
        assert path.read_bytes() == (features / path.name).read_bytes()
    assert set(load_file(features / next(iter(after)))) == {"tokens", "lengths", "pooled"}
    assert load_assets(features).ids == load_assets(tmp_path / "tensors").ids
    weights.write_bytes(b"other weights")
    assert not set(after) & set(encode())
