"""Strays: what a body says where no row reads it, such as single words in place of identifiers, roles and types, in
unknown fields, as keys, or one in each of many objects. Each says nothing by itself, so they are gathered in the order
of the body into one text; what is known by its form and its place is left out. `heads` tells whether the head of a
request or an answer says something, and `scanning` whether an answer does that should have no texts.
"""

from gateway.openai_api.strays.gathering import DEFINED, STRAYS, Gatherer, Stray, claimed_by
from gateway.openai_api.strays.heads import headers_with_text, target_says_something
from gateway.openai_api.strays.scanning import Scan

__all__ = ["DEFINED", "STRAYS", "Gatherer", "Scan", "Stray", "claimed_by", "headers_with_text", "target_says_something"]
