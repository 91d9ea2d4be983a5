"""The eight measurement studies of "Trustworthy LLMs" (arXiv 2308.05374) on any model behind an OpenAI-compatible API.

Prompts are made from templates and slots (`prompts`) and sent to the models (`asking`). The answers are stored line by
line (`record`), read by exact checks (`checks`) or judged by detectors and a judge model (`judging`). The estimator of
the trust metrics turns them into figures with intervals (`figures`), for a table (`report`) and a picture (`picture`).
"""
