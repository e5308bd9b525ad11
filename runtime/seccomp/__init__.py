"""Seccomp: from a profile to a program for the kernel, and the profile for containers that bring none."""
