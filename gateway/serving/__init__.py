"""Bytes from clients: HTTP/1.1 connections, requests on them, clients that leave, and the memory of large bodies."""
