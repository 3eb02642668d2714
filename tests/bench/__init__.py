"""Measuring: how long a start takes, how much memory a server needs, how many statements a page costs."""
