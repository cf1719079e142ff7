# What every command on a node of a cluster has in its environment; ~/.bashrc sources it. The launcher puts the
# secrets and what differs between clusters into ~/.ytray-cluster: `env` (docs/clusters.md) and Ray's `token`.
export PATH="$HOME/ytray/.venv/bin:$PATH"
export RAY_ADDRESS=auto # the cluster that this node is of; without it, ytray would start a Ray of its own
export YTRAY_HOME="$HOME/.ytray" # of this node alone: nothing in it is shared
export RAY_AUTH_MODE=token
export RAY_AUTH_TOKEN_PATH="$HOME/.ytray-cluster/token"
export RAY_USAGE_STATS_ENABLED=0
# The head gives a node up that has been silent for some 15 seconds; as Ray comes it would be a minute. Until then Ray
# may send it work, which waits there. Read by the head alone.
export RAY_health_check_period_ms=1000
export RAY_health_check_timeout_ms=2000
export RAY_health_check_failure_threshold=5
# Nodes come for up to so many slots of each queue. The node types at their largest have to offer as many, and a card
# for four of them: Ray's autoscaler takes what it is asked for whole, or not at all.
export YTRAY_AUTOSCALE_MOST=32
# Serve's fast ingress; it reads these when it starts (docs/http.md).
export RAY_SERVE_ENABLE_HA_PROXY=1
export RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD=0
export RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP=0
export RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S=5
export RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S=1
# HAProxy's sockets and files, which Serve would open to all users of the machine.
mkdir -p "$YTRAY_HOME/run" && chmod 700 "$YTRAY_HOME" "$YTRAY_HOME/run"
export RAY_SERVE_HAPROXY_SOCKET_PATH="$YTRAY_HOME/run/s" RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH="$YTRAY_HOME/run/m"
export RAY_SERVE_HAPROXY_CONFIG_FILE_LOC="$YTRAY_HOME/run/haproxy.cfg"
export RAY_SERVE_HAPROXY_SERVER_STATE_BASE="$YTRAY_HOME/run" RAY_SERVE_HAPROXY_SERVER_STATE_FILE="$YTRAY_HOME/run/state"
if [ -r "$HOME/.ytray-cluster/env" ]; then
  set -a
  . "$HOME/.ytray-cluster/env"
  set +a
fi
