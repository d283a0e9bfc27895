"""Photos with emotion labels for a branch to learn from: `smirk3d.train.recipes.labelled_photos`."""

import io
import json
import tarfile

import numpy as np
import pytest
import torch

from smirk3d.datasets.config import AugmentConfig
from smirk3d.datasets.training_batch import TrainingBatch
from smirk3d.errors import Smirk3dError
from smirk3d.train.recipes.labelled_photos import EmotionProbe, LabelledPhotos

COUNT = {"neutral": 160, "happiness": 80, "sadness": 20, "fear": 3}


class Source:
    """Uniform images of brightness number / 1000; every other one has a label."""

    def __init__(self, keys):
        self.keys = keys

    def batch(self, index, rng):
        n = len(index)
        image = torch.from_numpy(index).float()[:, None, None, None].expand(-1, 3, 16, 16) / 1000
        return TrainingBatch(
            image=image,
            landmarks_ndc=torch.zeros(n, 478, 2),
            landmark_weight=torch.ones(n, 478),
            person=torch.zeros(n, dtype=torch.int64),
            target=None,
            target_weight=torch.zeros(n),
            contour_ndc=torch.zeros(n, 17, 2),
            contour_weight=torch.zeros(n),
        )


@pytest.fixture
def folder(tmp_path):
    """Labelled photos P-a_0 and so on, of one collection."""
    names = [name for name, count in COUNT.items() for _ in range(count)]
    with tarfile.open(tmp_path / "train-000000.tar", "w") as archive:
        for number, name in enumerate(names):
            content = json.dumps({"emotion": name}).encode()
            info = tarfile.TarInfo(f"a_{number}.json")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    rows = [f"a_{number},P-Q,{name}\n" for number, name in enumerate(names)]
    (tmp_path / "labels.csv").write_text("key,person,emotion\n" + "".join(rows))
    return tmp_path


def keys(numbers):
    """Keys of prepared faces, strangers in between."""
    return [key for k in numbers for key in (f"P-Q-a_{k}-0123abcd-0", f"P-Q-b_{k}-0123abcd-0")]


def test_photos_come_with_their_label_and_rare_ones_more_often(folder):
    photos = LabelledPhotos(folder, Source(keys(range(263))), None)
    assert list(photos.rows) == ["happiness", "neutral", "sadness"]  # too few are afraid
    counts = np.array([COUNT[name] for name in photos.rows])
    assert photos.share.sum() == pytest.approx(1) and (np.diff(photos.share[np.argsort(counts)]) > 0).all()
    assert photos.share[2] / photos.share[1] > 2 * 20 / 160
    plain = AugmentConfig(mirror=0, shift=0, scale=0, rotation_deg=0, color=0, tint=0, blur=0, noise=0)
    found = []
    for seed in range(30):
        photos.augment = plain
        batch, label = photos.draw(10, seed)
        number = (batch.image[:, 0, 8, 8] * 500).round().long()
        bounds = torch.tensor([160, 0, 240, 240, 160, 260]).reshape(2, 3)
        assert ((number >= bounds[0][label]) & (number < bounds[1][label])).all()
        found.append(label)
    np.testing.assert_allclose(torch.cat(found).bincount() / 300, photos.share, atol=0.08)


def test_a_seed_draws_the_same_again(folder):
    photos = LabelledPhotos(folder, Source(keys(range(263))), None)
    one, same, other = (photos.draw(6, seed) for seed in (1, 1, 2))
    assert torch.equal(one[0].image, same[0].image) and torch.equal(one[1], same[1])
    assert not torch.equal(one[0].image, other[0].image)


def test_one_emotion_is_not_enough(folder):
    with pytest.raises(Smirk3dError, match="fewer than two emotions"):
        LabelledPhotos(folder, Source(keys(range(160))), None)


def test_probe_separates_the_classes_at_first_and_passes_gradients():
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(300) % 3
    prediction = 0.2 * torch.rand(300, 52, generator=generator)
    prediction[torch.arange(300), label] += 0.5
    probe = EmotionProbe(52, np.array([0.2, 0.3, 0.5]))
    probe.fit(prediction, label)
    assert (probe.linear(probe.normal(prediction)).argmax(1) == label).all()
    assert probe(prediction, label) < 0.6 < probe(prediction, label.roll(1))
    inputs = prediction.clone().requires_grad_()
    probe(inputs, label.roll(1)).backward()
    before, after = probe(prediction, label.roll(1)), probe(prediction - 100 * inputs.grad, label.roll(1))
    assert after < before
    assert not list(probe.normal.parameters()) and not probe.normal.training
