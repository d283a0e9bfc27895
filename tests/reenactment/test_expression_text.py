from __future__ import annotations

import pytest

from smirk3d.errors import UsageError
from smirk3d.head.arkit import ARKIT_NAMES
from smirk3d.reenactment.expression_text import SHORT_FORMS, known_names, parse_expression


def test_names_in_any_case_and_both_sides() -> None:
    assert parse_expression("MOUTHSMILELEFT=.8, jawopen = 0.25") == {"mouthSmileLeft": 0.8, "jawOpen": 0.25}
    assert parse_expression("noseSneer=.5") == {"noseSneerLeft": 0.5, "noseSneerRight": 0.5}
    assert parse_expression("smile=.8,blink,eyeBlinkLeft=0") == {
        "mouthSmileLeft": 0.8,
        "mouthSmileRight": 0.8,
        "eyeBlinkLeft": 0.0,
        "eyeBlinkRight": 1.0,
    }


def test_every_name_stands_for_actions() -> None:
    names = known_names()
    assert set(ARKIT_NAMES) | set(SHORT_FORMS) <= set(names)
    assert all(set(actions) <= set(ARKIT_NAMES) for actions in names.values())
    assert "jaw" not in names and "mouth" not in names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("smle=1", "did you mean smile"),
        ("mouthSmileLeftt=1", "did you mean mouthSmileLeft"),
        ("xyzzy=1", "unknown action; use ARKit's 52 names"),
        ("smile=1.2", "from 0 to 1"),
        ("smile=much", "from 0 to 1"),
        (" , ", "is empty"),
    ],
)
def test_errors_name_the_remedy(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_expression(text)
