"""The command `smirk3d`: one file a subcommand."""
