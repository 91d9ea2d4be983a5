"""One planted case for each of the 29 sub-categories: `cases` has them as data, `model` is the model server that plays
them, `history` the days before that some monitors need. tests/e2e/test_planted.py sends them through a gateway.
"""
