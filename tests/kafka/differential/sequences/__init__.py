"""Sequences of requests: functions of (session, random numbers, fresh names)."""
from sequences import data, groups, malformed, quotas, security, topics, transactions, walk

SEQUENCES = [*topics.ALL, *data.ALL, *groups.ALL, *transactions.ALL, *malformed.ALL, *quotas.ALL, *security.ALL, *walk.ALL]
