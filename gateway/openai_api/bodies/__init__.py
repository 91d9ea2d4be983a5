"""JSON bodies, whatever they are for: read leniently and changed in places (`document`), JSON inside their strings read
without its escapes (`texts`), and what token log-probabilities spell (`logprobs`).
"""
