"""The eight measurement studies of "Trustworthy LLMs" (arXiv 2308.05374) on any model behind an OpenAI-compatible API.

Prompts are made from templates and slots (`prompts`), asked (`asking`), kept line by line (`record`), read by exact
checks (`checks`) or judged by detectors and a judge model (`judging`), and turned into figures with intervals by the
estimator of the trust metrics (`figures`), for a table (`report`) and a picture (`picture`).
"""
