"""The request analyzer: how long a request will be, how long a step takes, what is still to come."""
