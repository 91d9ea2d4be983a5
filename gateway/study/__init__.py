"""Judging without live traffic: lines of text, recorded traffic, labelled sets, and the evaluation of models."""
