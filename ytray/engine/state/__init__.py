"""The state of a system in Redis: the only room that knows its keys."""
