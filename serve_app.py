"""The Ray Serve application: `serve run serve_app:app`, or cluster/serve.yaml with `serve deploy`."""

from ytray.api.deployment import application

app = application()
