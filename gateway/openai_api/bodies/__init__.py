"""A JSON body by itself, whatever it is for: read leniently and changed in places (`document`), JSON inside its strings
read as it is meant (`texts`), and what token log-probabilities spell (`logprobs`).
"""
