"""Train a classifier of expressions of your own on labelled photos, and report how good it is.

Usage: python examples/06_own_classes.py FOLDER [OUT_DIR]

FOLDER has one folder of photos for each class. What stands before "_" in the name of a file is the person.
"""

from __future__ import annotations

import sys
from pathlib import Path

from smirk3d.fer import EmotionClassifier, ExpressionVector
from smirk3d.fer.probe import cross_validated_probe
from smirk3d.viz.classification_plots import draw_confusion
from smirk3d.viz.plot_style import save_pixels


def main(folder: str, out_dir: str = "out/examples") -> None:
    """Print the cross-validated accuracy, write `confusion.png`, and apply the classifier to the first photo."""
    photos = sorted(path for path in Path(folder).glob("*/*") if path.is_file())
    labels = [path.parent.name for path in photos]
    people = [path.name.split("_")[0] for path in photos]
    vectors = ExpressionVector().transform(photos)
    result = cross_validated_probe(vectors, labels, people, folds=min(5, len(set(people))))
    low, high = result.interval
    print(f"{len(photos)} photos of {result.people} people, {', '.join(result.classes)}")
    print(f"balanced accuracy {result.balanced_accuracy:.3f}, 95 % interval {low:.3f} to {high:.3f}")
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    picture = draw_confusion(result.classes, result.confusion, "Own classes", "people kept apart")
    save_pixels(picture, Path(out_dir) / "confusion.png")
    classifier = EmotionClassifier().fit(photos, labels)
    for name, probability in zip(classifier.classes_, classifier.predict_proba(photos[:1])[0]):
        print(f"{photos[0].name}: {name} {probability:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
