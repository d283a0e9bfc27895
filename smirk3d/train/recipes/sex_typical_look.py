"""Train the network that tells whether a face looks typically male or female.

    python -m smirk3d.train.recipes.sex_typical_look --photos FOLDER --names FOLDER

Labels are first names of the people in the photos: FOLDER of `--names` holds `dist.female.first` and `dist.male.first`
of the United States Census of 1990, as in the package `names`. Names that both sexes have are left out, and so are
people whom networks trained on others contradict. Brightness, hair and background are varied, so that the network
looks at the face and at skins of all tones.
"""

from __future__ import annotations

import csv
import io
import logging
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from smirk3d.assets import atomic_path
from smirk3d.estimation.appearance_points import PhotoPatch
from smirk3d.estimation.sex_typical_look import LookEnsemble, LookNetwork, face_window
from smirk3d.train.recipes.command import run_recipe
from smirk3d.zoo.registry import locate

MIN_FREQUENCY_PERCENT = 0.002
MIN_RATIO = 8.0
"""Of the frequencies of a name among the sexes."""
PHOTOS_PER_PERSON = 6
FOLDS = 3
CONTRADICTION = 2.0
"""Mean logit against a person's label beyond which the person is left out."""
_log = logging.getLogger("smirk3d.train.recipes.sex_typical_look")


@dataclass(frozen=True)
class Options:
    """Options of the recipe."""

    photos: Path
    """Folder with shards, `landmarks.npz` and `labels.csv`."""
    names: Path
    """Folder with the frequencies of first names."""
    out: Path = field(default_factory=lambda: locate("sex_typical_look"))
    """The file to write."""
    epochs: int = 40
    """Passes over the photos."""
    members: int = 1
    """Networks that are trained with different seeds; the mean of their logits counts."""
    seed: int = 0
    """Seed of everything random."""


@dataclass(frozen=True, eq=False)
class LabelledWindows:
    """Windows of faces.

    Attributes:
        windows: (N, 48, 40) float32, 0 to 255.
        female: (N,) float32, 1 or 0.
        person: (N,) int64.
        is_train: (N,) bool.
    """

    windows: Tensor
    female: Tensor
    person: Tensor
    is_train: Tensor


def main(options: Options) -> None:
    """Train and write the network; log its accuracy on people of the validation split."""
    data = read_windows(options)
    rows = data.is_train.nonzero()[:, 0]
    logits = torch.zeros(len(data.female))
    for fold in range(FOLDS):
        held_out = data.person % FOLDS == fold
        network = train(data, rows[~held_out[rows]], max(options.epochs // 2, 1), options.seed + 1 + fold)
        logits[held_out] = predict(network, data.windows[held_out])
    keep = rows[~_contradicted(data, logits)[rows]]
    _log.info("%d of %d windows are kept after the check of the labels", len(keep), len(rows))
    members = [train(data, keep, options.epochs, options.seed + (FOLDS + 1) * k) for k in range(options.members)]
    ensemble = LookEnsemble(members)
    held_out = ~data.is_train
    right = (predict(ensemble, data.windows[held_out]) > 0) == (data.female[held_out] > 0)
    of_women = right[data.female[held_out] > 0]
    _log.info("right on validation: %.3f; women %.3f", right.float().mean(), of_women.float().mean())
    weights = {name: value.half().contiguous() for name, value in ensemble.state_dict().items()}
    with atomic_path(options.out) as temporary:
        save_file(weights, temporary, metadata={"recipe": "sex_typical_look", "seed": str(options.seed)})


def read_windows(options: Options) -> LabelledWindows:
    """Read the photos of people with a clear first name; two windows, placed a little differently, for each."""
    random = np.random.default_rng(options.seed)
    table = np.load(options.photos / "landmarks.npz")
    landmarks = dict(zip(table["keys"].tolist(), table["lm"][..., :2].astype(np.float32), strict=True))
    female_of = first_names(options.names)
    with (options.photos / "labels.csv").open(encoding="utf-8") as file:
        rows = {row["key"]: row for row in csv.DictReader(file) if row["source"] == "lfw"}
    people: dict[str, list[int]] = {}
    windows, female, person, is_train = [], [], [], []
    for path in sorted(options.photos.glob("*.tar")):
        for key, content in _photos(path):
            row = rows.get(key)
            sex = None if row is None else female_of.get(row["person"].split("_")[0].lower())
            if row is None or sex is None or people.setdefault(row["person"], [len(people), 0])[1] >= PHOTOS_PER_PERSON:
                continue
            people[row["person"]][1] += 1
            pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
            points = landmarks[key]
            size = float(np.linalg.norm(points[33] - points[263]))
            for spread in (0.0, 0.03):
                moved = (
                    points
                    + random.normal(0, 1, (1, 2)) * spread * size
                    + random.normal(0, 1, points.shape) * 0.02 * size
                )
                windows.append(face_window(PhotoPatch.whole(pixels), moved))
                female.append(sex)
                person.append(people[row["person"]][0])
                is_train.append(row["split"] == "train")
    return LabelledWindows(
        torch.from_numpy(np.stack(windows)),
        torch.tensor(female, dtype=torch.float32),
        torch.tensor(person),
        torch.tensor(is_train),
    )


def first_names(folder: Path) -> dict[str, bool]:
    """Return name in lower case -> whether women have it, of names that hardly both sexes have."""
    frequency = []
    for name in ("dist.female.first", "dist.male.first"):
        lines = (folder / name).read_text(encoding="ascii").splitlines()
        frequency.append({line.split()[0].lower(): float(line.split()[1]) for line in lines})
    result = {"queen": True, "princess": True, "prince": False, "king": False}
    for name in {*frequency[0], *frequency[1]}:
        women, men = (each.get(name, 0.0) for each in frequency)
        if max(women, men) >= MIN_FREQUENCY_PERCENT and max(women, men) >= MIN_RATIO * min(women, men):
            result[name] = women > men
    return result


def train(data: LabelledWindows, rows: Tensor, epochs: int, seed: int) -> LookNetwork:
    """Train a network on some of the windows."""
    torch.manual_seed(seed)
    network = LookNetwork().train()
    batch = 128
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=2e-2)
    steps = epochs * (len(rows) // batch + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    share = data.female[rows].mean()
    balance = (1 - share) / share
    for _ in range(epochs):
        for index in rows[torch.randperm(len(rows))].split(batch):
            logit = network(_augmented(data.windows[index]))
            target = data.female[index] * 0.92 + 0.04
            loss = functional.binary_cross_entropy_with_logits(logit, target, pos_weight=balance)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


@torch.no_grad()
def predict(network: nn.Module, windows: Tensor) -> Tensor:
    """Return the mean logits (N,) of windows and their mirror images."""
    plain = _normalised(windows)
    return (network(plain) + network(plain.flip(2))) / 2


def _augmented(windows: Tensor) -> Tensor:
    """Vary brightness, light and mirror image, hide hair and background, and normalise."""
    count, height, width = windows.shape

    def number(*shape: int) -> Tensor:
        return torch.randn(count, *shape)

    values = (windows / 255).clamp(0.004, 1) ** torch.exp(0.35 * number(1, 1))
    x, y = torch.linspace(-1, 1, width)[None, None], torch.linspace(-1, 1, height)[None, :, None]
    values = values * torch.exp(0.2 * number(1, 1) * x + 0.2 * number(1, 1) * y)
    outside = (x / 0.62) ** 2 + ((y - 0.02) / 0.72) ** 2 > 1
    hide = outside & (torch.rand(count, 1, 1) < 0.35)
    values = torch.where(hide, torch.rand(count, 1, 1).expand_as(values), values)
    values = torch.where(torch.rand(count, 1, 1) < 0.5, values.flip(2), values)
    values = _normalised(255 * values)
    return values + 0.08 * torch.randn_like(values)


def _normalised(windows: Tensor) -> Tensor:
    centered = windows - windows.mean(dim=(1, 2), keepdim=True)
    return centered / (centered.std(dim=(1, 2), keepdim=True, correction=0) + 8)


def _contradicted(data: LabelledWindows, logits: Tensor) -> Tensor:
    """Return which windows (N,) show a person whose label networks trained on others contradict."""
    agreement = logits * (2 * data.female - 1)
    total = torch.zeros(int(data.person.max()) + 1).index_add(0, data.person, agreement)
    count = torch.zeros_like(total).index_add(0, data.person, torch.ones_like(agreement))
    return (total / count)[data.person] < -CONTRADICTION


def _photos(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the keys and contents of the images of a shard."""
    with tarfile.open(path) as shard:
        for member in shard:
            file = shard.extractfile(member) if member.name.endswith(".jpg") else None
            if file is not None:
                yield member.name.removesuffix(".jpg"), file.read()


if __name__ == "__main__":
    run_recipe(Options, main)
