"""The command line: a file for each command. Imports everything, imported by nothing."""
