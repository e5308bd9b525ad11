"""The rules that types cannot say, a file per part of the configuration; check.py is the way in.

Each function yields a Problem for each thing that is wrong, so that a person sees all mistakes at once.
Nothing here asks the kernel: whether a path exists, or a namespace is of its type, shows when it is opened.
"""
