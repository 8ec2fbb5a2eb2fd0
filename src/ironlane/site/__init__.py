"""The site file: reading it, and telling everything that is wrong with it.

Pure: text in, a `Site` or a list of problems out, each with its line. Imports only `ironlane.model`; enrolling what
the file says is the command line's work (`ironlane.cli`).
"""
