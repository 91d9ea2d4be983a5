"""From judged samples to rates with intervals.

What other folders use, by purpose:

- what every sink receives of a sample: `judged.Judged`, and the protocol `judged.Sink`;
- a second opinion on a sample, by a judge model or a person: `second_opinion.SecondOpinion`; a sample that was drawn
  for one and is waiting: `second_opinion.Waiting`;
- the probability with which a judged sample is drawn: `drawing.DrawBudget`, `drawing.is_drawn`;
- the store of all this, shared by all processes: `ledger.Ledger`. Samples go in by `take`, drawn ones by `put`,
  opinions by `opine`; `waiting` and `hold` are the review queue; `opinions` and `entries_of` read them back with their
  samples.
"""
