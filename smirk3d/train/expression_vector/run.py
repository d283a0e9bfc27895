"""The training run of the expression network, with that of its teacher before it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from smirk3d.fer.network import load_expression_network
from smirk3d.train.expression_vector.config import FerTrainConfig
from smirk3d.train.expression_vector.task import VectorTask, vector_task
from smirk3d.train.small_network.run import Report, TrainResult, train_network, write_config

WEIGHTS_NAME = "expression.safetensors"
TEACHER_FOLDER = "teacher"
"""Folder of the teacher's run within that of the student's."""


def train_expression_network(config: FerTrainConfig, *, resume: bool = False, report: Report) -> TrainResult:
    """Train the expression network; see `smirk3d.train.small_network.run.train_network`."""

    def prepare(is_resumed: bool) -> VectorTask | TrainResult:
        if not config.teacher_steps:
            return vector_task(config, None, is_resumed, report)
        write_config(config)  # the folder of the teacher must not make this run one that cannot be resumed
        result = _train_teacher(config, resume, report)
        if result.is_interrupted:
            return result
        return vector_task(config, load_expression_network(result.weights), is_resumed, report)

    return train_network(config, prepare, weights_path(config), resume=resume, report=report)


def _train_teacher(config: FerTrainConfig, resume: bool, report: Report) -> TrainResult:
    """Train the teacher, or continue its training, unless its weights are there.

    It learns from the labelled faces alone, without triplets and at one size.
    """
    teacher = replace(
        config,
        data=replace(config.data, unlabelled=None),
        out_dir=config.out_dir / TEACHER_FOLDER,
        steps=config.teacher_steps,
        teacher_steps=0,
        triplet_weight=0.0,
        fine_share=0.0,
    )
    if weights_path(teacher).is_file():
        return TrainResult(teacher.steps, teacher.steps, weights_path(teacher))
    report("the teacher first")
    return train_expression_network(teacher, resume=resume and teacher.out_dir.is_dir(), report=report)


def weights_path(config: FerTrainConfig) -> Path:
    """Return the path of the weights that a run writes."""
    return config.out_dir / WEIGHTS_NAME
