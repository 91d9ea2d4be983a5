"""The detectors in processes of their own: the messages, the gateway's side, their side, the language of a text."""
