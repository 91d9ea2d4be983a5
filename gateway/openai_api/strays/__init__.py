"""What a body says where no row reads it: single words in place of identifiers, roles and types, in fields that nobody
knows, as keys, one in each of many objects. Each says nothing by itself, so they are gathered in the order of the body
into one text, from which all is left out that is known by its form and its place.
"""

from gateway.openai_api.strays.gathering import DEFINED, STRAYS, Gatherer, Stray, claimed_by

__all__ = ["DEFINED", "STRAYS", "Gatherer", "Stray", "claimed_by"]
