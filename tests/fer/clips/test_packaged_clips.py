"""The packaged clip network."""

from __future__ import annotations

import torch

from smirk3d.datasets.synthetic.emotion_clips.motion import NEUTRAL
from smirk3d.fer.clips.network import load_clip_network
from smirk3d.fer.clips.predictor import sub_clip_predictions
from smirk3d.train.clip_emotion.measures import key_errors, measure_clips
from smirk3d.train.clip_emotion.synthetic_data import weight_only_clips
from smirk3d.zoo.registry import find


def test_it_reads_the_packaged_expression_vectors() -> None:
    """It is trained again with configs/recipes/rdfer.yaml when the expression network is replaced."""
    load_clip_network(find("clips"))
    assert find("clips").stat().st_size < 1.5e6


def test_it_knows_the_emotions_of_clips_by_their_weights_alone() -> None:
    network = load_clip_network(find("clips"))
    clips, truth = weight_only_clips(80, 555)
    assert measure_clips(network, clips).war > 70
    inside, ends = key_errors(sub_clip_predictions(network, clips.features), truth.apex, truth.key)
    assert inside > 0.75 and ends < 3


def test_still_frames_are_mostly_neutral() -> None:
    network = load_clip_network(find("clips"))
    clips, truth = weight_only_clips(8, 556)
    still = clips.features[truth.emotion == NEUTRAL][:1, :1].expand(1, 32, -1)
    found = sub_clip_predictions(network, torch.as_tensor(still).contiguous())
    assert found.agreement[0] > 0.9
