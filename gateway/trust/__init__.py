"""From judged samples to rates with intervals.

The face, by what one wants of it:

- what everything downstream gets of a sample: `judged.Judged`, and the protocol `judged.Sink`;
- a second opinion on a sample, by a judge model or a person: `second_opinion.SecondOpinion`; a sample that was drawn
  for one and waits: `second_opinion.Waiting`;
- with which probability a judged sample is drawn: `drawing.need`, `drawing.DrawBudget`, `drawing.is_drawn`;
- the memory of it all, shared by all processes: `ledger.Ledger`. Samples go in by `take`, drawn ones by `put`, opinions
  by `opine`; `waiting` and `hold` are the review queue; `opinions` and `entries_of` read them back with their samples.
"""
