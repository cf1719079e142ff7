"""`ytray up`: starts the system of one machine, watches every part of it, and brings back what dies.

`supervisor.py` is the process of `ytray up`, which imports no Ray, since a driver may die with its Ray. It starts the
Redis and the node (`node.py`), the process that is the driver of the local Ray and serves the API; the node reports
which processes are its parts (`report.py`), and the supervisor waits for the end of each by its pidfd. `tree.py` ends
all that a node has started, `standby.py` takes the supervisor's place when it is killed.
"""
