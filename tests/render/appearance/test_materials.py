"""Colours of the parts of a head."""

from __future__ import annotations

from smirk3d.render.appearance.materials import TEETH_COLOR, TONGUE_COLOR, region_vertices, vertex_colors


def test_the_mouth_is_dark_inside_and_its_front_is_not(open_head):
    colors, depth_m = vertex_colors(open_head), open_head.v_template[:, 2].numpy()
    teeth, tongue = region_vertices(open_head, "upper_teeth"), region_vertices(open_head, "tongue")
    front_m = depth_m[teeth].max()
    assert colors[teeth & (depth_m > front_m - 0.003)].min(0)[0] > 0.8 * TEETH_COLOR[0]
    assert colors[teeth & (depth_m < front_m - 0.03)].max(0)[0] < 0.3 * TEETH_COLOR[0]
    tip = tongue & (depth_m > depth_m[tongue].max() - 0.004)
    assert colors[tip].min(0)[0] > 0.9 * TONGUE_COLOR[0]  # it is seen outside, where it is not dark
    assert colors[tongue & (depth_m < front_m - 0.05)].max(0)[0] < 0.35 * TONGUE_COLOR[0]
