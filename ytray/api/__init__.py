"""The HTTP API and the console, served by Ray Serve. Replicas keep nothing: what they tell is read from Redis."""
