"""Whether a value fits its name and its place: the less the place tells, the more the value must look like a secret."""

import re
from enum import Enum

from detectors.rules.secrets.names import Family, Head
from detectors.rules.secrets.values import (
    is_chosen,
    is_expression,
    is_generated,
    is_mixed_with_signs,
    is_passphrase,
    is_rich,
    is_uuid,
    is_variable,
)


class Place(Enum):
    """How much the place of a value tells."""

    TELLING = "an assignment, a header, a sentence that gives the value"
    DOUBTFUL = "much else stands so: a list, a parenthesis"
    LOOSE = "only a space between the name and the value"


def fits(value: str, head: Head, is_quoted: bool, place: Place) -> bool:
    """Whether it looks like a secret of this kind, and not like code or prose in the same place."""
    if is_expression(value) or is_public_address(value) or (not is_quoted and is_variable(value)):
        return False
    if head.family is Family.KEY:
        return _is_key(value, head, place)
    return _is_password(value, head, place)


def _is_password(value: str, head: Head, place: Place) -> bool:
    if " " in value:
        return place is Place.TELLING and head.root == "pass" and is_passphrase(value)
    if is_generated(value):
        return True
    match place:
        case Place.TELLING:
            return is_chosen(value)
        case Place.DOUBTFUL:
            return is_rich(value)
        case Place.LOOSE:
            return is_mixed_with_signs(value)


def _is_key(value: str, head: Head, place: Place) -> bool:
    if place is Place.LOOSE:
        is_pair = head.root == "cred" and is_mixed_with_signs(value)
        return is_pair or (head.certain and is_generated(value))
    if is_uuid(value):
        return head.certain
    if is_generated(value):
        return True
    is_short = head.root == "secret" and place is Place.TELLING and len(value) >= 8 and " " not in value
    return is_short and is_mixed_with_signs(value)


_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}|bc1[a-z0-9]{25,60}")


def is_public_address(value: str) -> bool:
    """An account or a contract on a public ledger."""
    return _ADDRESS.fullmatch(value) is not None
