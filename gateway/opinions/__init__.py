"""Second opinions on judged samples: asked of a judge model, and of people.

A small share of the judged samples, each drawn with a known probability, is shown to a judge model beside the traffic,
and to people. Their answers go into the ledger and become rates (`gateway/trust/`), local operating points and training
data.
"""
