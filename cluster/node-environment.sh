# What every command on a node of a cluster has in its environment; ~/.bashrc sources it. The launcher puts the
# secrets and what differs between clusters into ~/.ytray-cluster: `env` (docs/clusters.md) and Ray's `token`.
export PATH="$HOME/ytray/.venv/bin:$PATH"
export YTRAY_HOME="$HOME/.ytray" # of this node alone: nothing in it is shared
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH="$HOME/.ytray-cluster/token"
export RAY_USAGE_STATS_ENABLED=0
# Nodes come for up to so many slots of each queue. The node types at their largest have to offer as many, and a card
# for four of them: Ray's autoscaler takes what it is asked for whole, or not at all.
export YTRAY_AUTOSCALE_MOST=32
# Serve's fast ingress; it reads these when it starts (docs/http.md).
export RAY_SERVE_ENABLE_HA_PROXY=1
export RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD=0
export RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP=0
export RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S=5
if [ -r "$HOME/.ytray-cluster/env" ]; then
  set -a
  . "$HOME/.ytray-cluster/env"
  set +a
fi
