"""The figures of the blendshapes: percentages over people, counts over actions."""

from smirk3d.authoring.action_measures import MEASURES, Amplitude
from smirk3d.authoring.closure import Closure
from smirk3d.evaluation.actions import actions_result


def rows(factor: float) -> list[Amplitude]:
    return [Amplitude(name, measure, factor, 1.0) for name, measures in MEASURES.items() for measure in measures]


def test_figures_count_people_and_actions():
    good = Closure(0.0, 0.0, 0.5, 0.001, 0.002, 0.01)
    bad = Closure(-0.1, 0.05, 0.3, 0.02, 0.02, 0.2)
    found = actions_result("fit", [rows(1.1), rows(1.1), rows(1.5)], [good, good, good, bad]).figures
    assert found["actions"] == 34 and found["within_25_percent_first"] == 34 and found["others_within_all"] == 17
    for name in ("lids_meet_percent", "eye_hidden_percent", "lips_touch_percent", "mouth_shuts_percent"):
        assert found[name] == 75
    assert found["largest_lid_overlap"] == 0.2 and abs(found["visible_at_half"] - 0.45) < 1e-9
