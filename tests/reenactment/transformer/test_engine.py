"""The transformer engine on photos, with untrained networks: keypoints alone move the photo."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from smirk3d.reenactment.composition import compose
from smirk3d.reenactment.engine import make_engine
from smirk3d.reenactment.reenactor import Reenactor
from smirk3d.reenactment.source_photo import SourcePhoto, prepare_source
from smirk3d.reenactment.transformer import engine as engine_module
from smirk3d.reenactment.transformer.engine import TransformerEngine
from smirk3d.reenactment.transformer.network import NetworkLayout
from smirk3d.reenactment.transformer.weights import TransformerNetworks

LAYOUT = NetworkLayout(size_px=48, width=24, heads=2, hidden=32, encoder_layers=1, decoder_layers=1, code_size=4)


@pytest.fixture(scope="module")
def networks() -> TransformerNetworks:
    torch.manual_seed(0)
    made = TransformerNetworks(LAYOUT, torch.zeros(478, 3)).eval().requires_grad_(False)
    made.scene.color[-1].bias.view(4, -1)[3] = -20.0  # the colour, of which nothing is known, does not show
    return made


@pytest.fixture(scope="module")
def source(person: Any) -> SourcePhoto:
    return person.source()


def _moved(engine: TransformerEngine, source: SourcePhoto, weights: dict[str, float]) -> np.ndarray:
    layers = engine.layers(source.face.with_arkit(weights), source.face.rotation)
    return compose(source.pixels, engine.region, layers)


def test_keypoints_move_the_photo_towards_the_truth(
    person: Any, source: SourcePhoto, networks: TransformerNetworks
) -> None:
    engine = TransformerEngine([source], networks)
    for weights in ({"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0}, {"browInnerUp": 1.0, "jawLeft": 1.0}):
        truth = person.picture(weights).astype(float)
        errors = [((each - truth) ** 2).mean() for each in (_moved(engine, source, weights), source.pixels)]
        assert errors[0] < 0.8 * errors[1]


def test_the_photos_own_expression_nearly_stays_and_its_surroundings_do(
    source: SourcePhoto, networks: TransformerNetworks
) -> None:
    engine = TransformerEngine([source], networks)
    result = _moved(engine, source, {}).astype(int)
    assert np.abs(result - source.pixels).mean() < 1.5
    rows, region = np.ones(source.pixels.shape[:2], bool), engine.region
    rows[max(region.y0, 0) : region.y0 + region.side_px, max(region.x0, 0) : region.x0 + region.side_px] = False
    assert rows.any() and np.array_equal(result[rows], source.pixels[rows])


def test_photos_are_read_once_and_each_counts(
    person: Any, source: SourcePhoto, networks: TransformerNetworks, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = prepare_source(
        person.picture({"jawOpen": 1.0}) // 2, source.face, source.face.landmarks("mediapipe"), person.texels
    )
    one, two = TransformerEngine([source], networks), TransformerEngine([source, other], networks)
    monkeypatch.setattr(type(networks.scene), "encode", None)
    pictures = [_moved(each, source, {"jawOpen": 0.5}).astype(int) for each in (one, two)]
    assert np.abs(pictures[0] - pictures[1]).max() > 2


def test_a_reenactor_takes_the_engine_by_name(
    reenactor: Reenactor, networks: TransformerNetworks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "packaged_networks", lambda: networks)
    assert isinstance(make_engine("transformer", reenactor.sources), TransformerEngine)
    other = reenactor.with_engine("transformer")
    weights = {"jawOpen": 0.7}
    assert other.source is reenactor.source
    assert not np.array_equal(other(weights), reenactor(weights))
    assert np.array_equal(other.with_engine("mesh")(weights), reenactor(weights))
