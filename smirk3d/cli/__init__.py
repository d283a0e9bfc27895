"""The command `smirk3d`, one module for each subcommand."""
