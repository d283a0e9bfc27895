"""Names of the emotions and their places on the circumplex."""

from __future__ import annotations

import numpy as np
import pytest

from smirk3d.fer.emotions import ALIASES, CIRCUMPLEX, EMOTIONS, emotion_index, valence_arousal


def test_every_emotion_has_a_place() -> None:
    assert set(CIRCUMPLEX) == set(EMOTIONS)
    assert set(ALIASES.values()) <= set(EMOTIONS)


@pytest.mark.parametrize(("name", "known"), [("Happy", "happiness"), (" fear ", "fear"), ("Calm", "neutral")])
def test_other_names_are_known(name: str, known: str) -> None:
    assert EMOTIONS[emotion_index(name)] == known


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(ValueError, match="'bored' is none of the emotions"):
        emotion_index("bored")


def test_sure_probabilities_are_at_their_place_and_mixtures_between() -> None:
    sure = np.eye(8)
    assert valence_arousal(sure).tolist() == [list(CIRCUMPLEX[name]) for name in EMOTIONS]
    assert np.allclose(
        valence_arousal((sure[1] + sure[3]) / 2), (np.array(CIRCUMPLEX["happiness"]) + CIRCUMPLEX["sadness"]) / 2
    )
