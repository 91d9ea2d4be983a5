"""The detectors in a process of their own: messages, our side of the line, their side, the language of a text."""
