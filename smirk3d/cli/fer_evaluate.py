"""`smirk3d fer evaluate`: measures of an expression network, and a model card of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from smirk3d.assets import check_writable
from smirk3d.cli.console import print_result
from smirk3d.cli.options import Command
from smirk3d.errors import UsageError

if TYPE_CHECKING:
    from smirk3d.evaluation.consenting_people import GroupRow
    from smirk3d.evaluation.recognition import Predicted


@dataclass(frozen=True, kw_only=True)
class FerEvaluate(Command):
    """Measure an expression network.

    On labelled face crops WAR, UAR and ECE; on photos with emotion labels a linear probe on the expression vector; on
    neutral and smiling faces of people the counts by sex, age and ethnicity.
    """

    weights: Annotated[Positional[str], arg(metavar="WEIGHTS")] = "packaged"
    """File of smirk3d fer train; packaged: that of this installation."""
    ferplus: Annotated[str | None, arg(metavar="DIR")] = None
    """Labelled face crops in any layout of smirk3d fer train: FERPlus, AffectNet, RAF-DB, folders, a table."""
    faces: Annotated[str | None, arg(metavar="DIR")] = None
    """Folder of shards with emotion labels: a probe learns on the split train and is tested on val."""
    london: Annotated[str | None, arg(metavar="DIR")] = None
    """Folder of the Face Research Lab London Set: people.csv, and ID_neutral.jpg and ID_smiling.jpg."""
    triplets: Annotated[str | None, arg(metavar="TABLE.csv")] = None
    """Table of Google's facial expression comparison, with --pictures: is the odd face that of the raters?"""
    pictures: Annotated[str | None, arg(metavar="DIR|TABLE.csv")] = None
    """Folder of the triplets' pictures, by the ends of their addresses, or a table with the columns url and path."""
    split: str = "val"
    """Split of --ferplus to measure."""
    leave_out: Annotated[str | None, arg(metavar="PROBLEMS.csv")] = None
    """Table of smirk3d fer check --problems: faces of the split with a near-duplicate in another one are left out."""
    card: Annotated[str | None, arg(metavar="FILE.md")] = None
    """Model card to write of the figures, with plots beside it."""
    only: Literal["recognition", "vae", "clips", "occlusion"] = "recognition"
    """vae: likeness, edits and codes of a face autoencoder on the photos of --faces; WEIGHTS is of the kind vae. clips:
    a clip network on synthetic clips, and trainings with wrong labels; an hour. A quarter of the people in the clips
    wear faces of --faces, where it is given. occlusion: what repair is worth behind
    things drawn before the faces of --ferplus; WEIGHTS is of that kind."""
    count: Annotated[int, arg(metavar="N")] = 1000
    """Largest number of faces that --only occlusion measures."""
    against: Annotated[str | None, arg(metavar="FILE")] = None
    """With --only vae: weights of the same network with another loss, for comparison."""

    def run(self) -> int:
        """Print the figures."""
        if self.only == "vae":
            return self._measure_vae()
        if self.only == "occlusion":
            return self._measure_repair()
        if self.against is not None:
            raise UsageError("--against: compares face autoencoders; add --only vae")
        if self.only == "clips":
            return self._evaluate_clips()
        self._check_inputs()
        weights = None if self.weights == "packaged" else Path(self.weights)
        measured = self._measured(weights)
        if self.triplets is not None and self.pictures is not None:
            _print_triplets(weights, Path(self.triplets), Path(self.pictures))
        groups = [] if self.london is None else _groups(weights, Path(self.london))
        if self.card is not None:
            from smirk3d.evaluation.recognition_card import write_card

            write_card(Path(self.card), self.weights, measured, groups, self._about())
            print_result(f"card: {self.card}")
        return 0

    def _measure_vae(self) -> int:
        if self.faces is None or any((self.ferplus, self.london, self.card)):
            raise UsageError("--only vae: measures photos; name --faces DIR, and no other data or --card")
        from smirk3d.evaluation.face_vae import vae_figures

        weights = None if self.weights == "packaged" else Path(self.weights)
        peer = None if self.against is None else Path(self.against)
        for line in vae_figures(weights, peer, Path(self.faces), self.split):
            print_result(line)
        return 0

    def _evaluate_clips(self) -> int:
        if any(each is not None for each in (self.ferplus, self.london, self.card)):
            raise UsageError("--only clips: makes its clips; leave out --ferplus, --london and --card")
        from smirk3d.cli.fer_clips import evaluate_clips

        return evaluate_clips(None if self.weights == "packaged" else self.weights, self.faces)

    def _check_inputs(self) -> None:
        if all(each is None for each in (self.ferplus, self.faces, self.london, self.triplets)):
            raise UsageError("nothing to measure; name --ferplus, --faces, --london, --triplets or several of them")
        if (self.triplets is None) != (self.pictures is None):
            raise UsageError("--triplets and --pictures belong together; name both or neither")
        if self.card is not None:
            if not self.card.lower().endswith(".md"):
                raise UsageError(f"--card {self.card}: must end in .md")
            check_writable(Path(self.card))  # before the work

    def _measure_repair(self) -> int:
        if self.ferplus is None or any((self.faces, self.london, self.card, self.against)):
            raise UsageError("--only occlusion: measures face crops; name --ferplus DIR, and no other data or --card")
        if self.count < 10:
            raise UsageError(f"--count {self.count}: must be 10 or more")
        from smirk3d.evaluation.occluded_recognition import occlusion_figures

        weights = None if self.weights == "packaged" else Path(self.weights)
        for line in occlusion_figures(Path(self.ferplus), self.split, weights=weights, count=self.count):
            print_result(line)
        return 0

    def _measured(self, weights: Path | None) -> list[Predicted]:
        from smirk3d.evaluation.recognition import duplicated_keys, predicted_crops, predicted_photos

        measured = []
        if self.ferplus is not None:
            left_out = frozenset() if self.leave_out is None else duplicated_keys(Path(self.leave_out), self.split)
            measured.append(predicted_crops(weights, Path(self.ferplus), self.split, left_out))
        if self.faces is not None:
            measured.append(predicted_photos(weights, Path(self.faces)))
        for predicted in measured:
            for line in predicted.lines():
                print_result(line)
        return measured

    def _about(self) -> str:
        """Return the command without the paths of this machine."""
        named = {"--ferplus": self.ferplus, "--faces": self.faces, "--london": self.london}
        flags = [f"{name} {Path(value).name}" for name, value in named.items() if value is not None]
        return " ".join(["smirk3d fer evaluate", Path(self.weights).name, *flags, "--card FILE"])


def _print_triplets(weights: Path | None, table: Path, pictures: Path) -> None:
    from smirk3d.evaluation.triplet_accuracy import triplet_figures
    from smirk3d.progress import progress

    with progress(0, unit="faces") as display:
        figures = triplet_figures(weights, table, pictures, display.advance)
    for line in figures.lines():
        print_result(line)


def _groups(weights: Path | None, folder: Path) -> list[GroupRow]:
    """Print how often the faces of each group are recognised, and return the counts."""
    from smirk3d.evaluation.consenting_people import EXPRESSIONS, group_rows, recognized_people
    from smirk3d.progress import progress

    with progress(0, unit="people") as display:
        rows = group_rows(recognized_people(weights, folder, display.advance))
    for row in rows:
        counts = ", ".join(f"{name} called {EXPRESSIONS[name]} {count}" for name, count in row.right.items())
        print_result(f"{row.attribute} {row.group}".rstrip() + f": {row.people} people, {counts}")
    return rows
