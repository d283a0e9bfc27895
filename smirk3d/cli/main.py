"""Entry point of the command `smirk3d`: parses the command line, runs a subcommand, and reports errors in one line."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from typing import Annotated

import tyro
from tyro.conf import subcommand

from smirk3d import __version__
from smirk3d.cli.console import detach_stdout, open_standard_streams, print_message, print_result
from smirk3d.cli.data import DataCheck, DataPrepare
from smirk3d.cli.data_targets import DataTargets
from smirk3d.cli.doctor import Doctor
from smirk3d.cli.evaluate import Evaluate
from smirk3d.cli.features import Features
from smirk3d.cli.fer import FerFeatures, FerPredict, FerProbe
from smirk3d.cli.fer_check import FerCheck
from smirk3d.cli.fer_evaluate import FerEvaluate
from smirk3d.cli.fer_export import FerExport
from smirk3d.cli.fer_repair import FerRepair
from smirk3d.cli.fer_training import FerTrain
from smirk3d.cli.fer_vae import VAE_COMMANDS
from smirk3d.cli.head import HeadBuild, HeadConvert, HeadInfo
from smirk3d.cli.options import Command
from smirk3d.cli.reconstruct import Reconstruct
from smirk3d.cli.reenact import Reenact
from smirk3d.cli.retarget import Retarget
from smirk3d.cli.signals import termination_as_interrupt
from smirk3d.cli.train import Train
from smirk3d.cli.usage_line import empty_argument, wrong_usage
from smirk3d.cli.video import Video
from smirk3d.cli.view import View
from smirk3d.errors import Smirk3dError, UsageError

DESCRIPTION = (
    "Reconstruct expressive 3D heads from photos and videos. "
    "Exit codes: 0 all done, 1 some inputs failed, 2 wrong usage."
)
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130

_Head = Annotated[
    Annotated[HeadBuild, subcommand("build")]
    | Annotated[HeadInfo, subcommand("info")]
    | Annotated[HeadConvert, subcommand("convert")],
    subcommand("head", description="Build the open head, describe a head, or convert a FLAME model."),
]
_Data = Annotated[
    Annotated[DataPrepare, subcommand("prepare")]
    | Annotated[DataCheck, subcommand("check")]
    | Annotated[DataTargets, subcommand("targets")],
    subcommand("data", description="Make shards of training faces from photos, check them, or fit heads to them."),
]
_Fer = Annotated[
    Annotated[FerPredict, subcommand("predict")]
    | Annotated[FerFeatures, subcommand("features")]
    | Annotated[FerProbe, subcommand("probe")]
    | Annotated[FerTrain, subcommand("train")]
    | Annotated[FerEvaluate, subcommand("evaluate")]
    | Annotated[FerExport, subcommand("export")]
    | Annotated[FerCheck, subcommand("check")]
    | Annotated[FerRepair, subcommand("repair")]
    | VAE_COMMANDS,
    subcommand("fer", description="Recognise facial expressions: emotions, action units, expression vectors."),
]
_Commands = (
    Annotated[Reconstruct, subcommand("reconstruct")]
    | Annotated[Video, subcommand("video")]
    | Annotated[Features, subcommand("features")]
    | Annotated[Retarget, subcommand("retarget")]
    | Annotated[Reenact, subcommand("reenact")]
    | Annotated[View, subcommand("view")]
    | _Fer
    | _Head
    | _Data
    | Annotated[Train, subcommand("train")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Doctor, subcommand("doctor")]
)
_MARKERS = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        args: Arguments after the program's name; those of the process by default.

    Returns:
        0 all done, 1 some inputs failed, 2 wrong usage, 130 interrupted (Ctrl-C or SIGTERM).
    """
    open_standard_streams()
    with termination_as_interrupt():
        return _main(list(sys.argv[1:] if args is None else args))


def _main(arguments: list[str]) -> int:
    try:
        command = _parse(arguments)
        return command if isinstance(command, int) else _run(command)
    except BrokenPipeError:
        detach_stdout()
        return 0
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else EXIT_USAGE
    except KeyboardInterrupt:
        print_message("interrupted")
        return EXIT_INTERRUPTED


def _parse(arguments: list[str]) -> Command | int:
    """Return the subcommand with its flags, or the exit code where there is nothing to run."""
    try:
        if arguments == ["--version"]:
            print_result(f"smirk3d {__version__}")
            return 0
        if line := empty_argument(arguments):
            print_message(line)
            return EXIT_USAGE
        messages = io.StringIO()
        try:
            with redirect_stderr(messages):
                command = _command(arguments)
        except SystemExit as exit_:  # it has printed the help text, or a panel about wrong usage
            if exit_.code != EXIT_USAGE:
                raise
            if line := wrong_usage(lambda: _command(arguments), arguments):
                print_message(line)
            else:
                sys.stderr.write(messages.getvalue())
            return EXIT_USAGE
        sys.stderr.write(messages.getvalue())
        return command
    except BrokenPipeError:  # the reader of the text has closed the pipe
        raise
    except (Smirk3dError, OSError) as error:  # the text cannot be written
        detach_stdout()
        print_message(str(error))
        return EXIT_FAILED


def _command(arguments: list[str]) -> Command:
    return tyro.cli(_Commands, prog="smirk3d", description=DESCRIPTION, args=arguments, config=_MARKERS)


def _run(command: Command) -> int:
    """Run a subcommand and return its exit code; an error becomes one line, or a traceback with --debug."""
    if command.debug:
        logging.basicConfig()
        logging.getLogger("smirk3d").setLevel(logging.DEBUG)
    try:
        return command.run()
    except Exception as error:
        if command.debug:
            raise
        if isinstance(error, Smirk3dError):
            print_message(str(error))
            return EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED
        if isinstance(error, OSError) and error.filename is not None:  # such as a name that is too long
            print_message(f"{os.fsdecode(error.filename)}: {error.strerror}; check the path")
            return EXIT_FAILED
        print_message(f"internal error: {type(error).__name__}: {error} (run with --debug)")
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
