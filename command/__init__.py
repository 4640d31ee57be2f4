"""The `corredor` command, one file for each subcommand."""
