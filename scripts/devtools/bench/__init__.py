"""Measurements of the cost of requests: counted per request, and as a function of the amount of data. Private backends only."""
