"""Sequences of requests: functions of (session, random numbers, fresh names)."""
from sequences import data, groups, malformed, topics, transactions

SEQUENCES = [*topics.ALL, *data.ALL, *groups.ALL, *transactions.ALL, *malformed.ALL]
