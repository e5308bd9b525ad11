"""The grammar of names, and names for containers that were given none.

A name must never be taken for an id, nor an id for a name: ids are 64 hexadecimal digits, and a
name that is one is refused.
"""

from __future__ import annotations

import os
import string

from holdfast.protocol.errors import HoldfastError, quoted

ID_LENGTH = 64

_MAX_NAME = 128
_FIRST = frozenset(string.ascii_letters + string.digits)
_LATER = _FIRST | frozenset("_.-")
_HEX = frozenset(string.digits + "abcdef")

_ADJECTIVES = (
    "amber bold brave breezy bright brisk calm candid clear coastal coral crisp daring deep eager early "
    "fair fleet foamy fond free gentle glad golden green hardy hidden humble ivory jolly keen kind late "
    "lively lone lucky mellow merry mild misty modest neat nimble noble northern ocean open patient "
    "placid plucky proud quick quiet rapid ready salty sandy serene silent silver sleek smooth snug "
    "southern stable steady still stormy sturdy sunny swift tidal trusty upbeat vivid warm wavy western "
    "whole wild windy wise young "
)
_ANIMALS = (
    "abalone anchovy anemone barnacle bream brill chiton clam cod cormorant crab cuttlefish dolphin "
    "dulse eel eider fulmar gannet garfish goby grebe grouper gull gurnard haddock hake halibut heron "
    "herring kelp kittiwake laver limpet lobster lugworm mackerel manatee marlin minke mullet murre "
    "mussel nautilus octopus orca osprey otter oyster pelican penguin periwinkle petrel plaice plover "
    "pollack porpoise prawn puffin ray rorqual salmon sandpiper sardine scallop seal shanny shrimp "
    "skate skua sole sponge squid starfish sturgeon tern tope triton trout tuna turbot turnstone urchin "
    "walrus whelk whiting wrasse "
)
_HOW, _WHO = _ADJECTIVES.split(), _ANIMALS.split()


def new_id() -> str:
    """Return a new id: 64 hexadecimal digits of randomness."""
    return os.urandom(ID_LENGTH // 2).hex()


def random_name() -> str:
    """Return two words that are easy to say, with an underscore between them."""
    draw = int.from_bytes(os.urandom(8), "little")
    return f"{_HOW[draw % len(_HOW)]}_{_WHO[draw // len(_HOW) % len(_WHO)]}"


def check_name(name: str) -> str:
    """Return the name if it is one. Raises HoldfastError."""
    if is_id(name):
        raise HoldfastError(f'invalid container name "{name}": it reads as an id; allowed: anything else')
    if not is_name(name):
        allowed = f"1 to {_MAX_NAME} of a-z A-Z 0-9 _ . -, the first a letter or a digit"
        raise HoldfastError(f"invalid container name {quoted(name)}; allowed: {allowed}")
    return name


def is_name(text: str) -> bool:
    """Whether the text is a container's name."""
    return 0 < len(text) <= _MAX_NAME and text[0] in _FIRST and _LATER.issuperset(text) and not is_id(text)


def is_id(text: str) -> bool:
    """Whether the text is an id as `new_id` makes them."""
    return len(text) == ID_LENGTH and _HEX.issuperset(text)


def is_id_prefix(text: str) -> bool:
    """Whether the text may be the beginning of an id."""
    return 0 < len(text) <= ID_LENGTH and _HEX.issuperset(text)
