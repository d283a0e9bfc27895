"""`smirk3d doctor`: what is installed, what is missing and how to get it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from smirk3d.cli.console import print_result
from smirk3d.cli.options import Command


@dataclass(frozen=True, kw_only=True)
class Doctor(Command):
    """Check the installation: what works, what is missing and how to get it."""

    json: bool = False
    """Write JSON."""

    def run(self) -> int:
        """Run all checks; the exit code is 1 where a component is missing that the reconstruction of photos needs."""
        from smirk3d.cli.checks import run_checks

        checks = run_checks()
        usable = all(check.ok or not check.required for check in checks)
        if self.json:
            print_result(json.dumps({"usable": usable, "checks": [asdict(check) for check in checks]}, indent=2))
        else:
            print_result("\n".join(check.line() for check in checks))
            print_result("ready" if usable else "not ready: see the lines marked MISSING")
        return 0 if usable else 1
