"""Judging without traffic: lines of text, recorded traffic, labelled sets."""
