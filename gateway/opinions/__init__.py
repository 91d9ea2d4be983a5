"""Second opinions on judged samples: asked of a judge model, and of people.

A small share of the judged samples, each with a known probability, is shown to a judge model beside the traffic, and
to people. What they say goes into the ledger, where it becomes rates (`gateway/trust/`), local operating points and
training data.
"""
