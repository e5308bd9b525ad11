"""The steps' actions: each takes what has been made so far and carries out one step of runtime/steps.py."""
