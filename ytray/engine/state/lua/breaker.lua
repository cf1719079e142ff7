-- A dependency's circuit breaker decides, by this server's clock: a call comes, or has ended.
-- ARGV: name what token error timeout threshold patience
--   what      admit: may a call go through? ok, failed: how it ended (`error` says why)
--   token     names the request, so that a repeat of it is taken for what it is
--   timeout   seconds that an open breaker stays open; threshold  failures in a row that open it
--   patience  seconds after which a probe that said nothing is taken for dead, and the next one goes
-- Returns the seconds that the call should wait, as text; '0' when it may go through.

local name, what, token, error = unpack(ARGV, 1, 4)
local timeout, threshold, patience = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local key = P .. 'breakers'
local stored = redis.call('HGET', key, name)
local state = stored and decoded(stored)
for _, field in ipairs({'failures', 'opened_at', 'probe_at'}) do
  -- What cannot be read counts as closed: the next failure writes it anew.
  if state and type(state[field]) ~= 'number' then state = nil end
end
state = state or {name = name, state = 'closed', failures = 0, opened_at = 0, probe_at = 0, last_error = ''}
if what ~= 'failed' and state.state == 'closed' and (what == 'admit' or state.failures == 0) then return '0' end
local now = now_ms() / 1000
local wait = 0

if what == 'admit' then
  -- A clock that was set back makes nobody wait for longer than a whole wait.
  state.opened_at, state.probe_at = math.min(state.opened_at, now), math.min(state.probe_at, now)
  if state.state == 'open' and now >= state.opened_at + timeout then
    state.state, state.probe_at, state.token = 'half_open', 0, ''
  end
  if state.state == 'open' then
    wait = state.opened_at + timeout - now
  elseif state.token ~= token then
    if now - state.probe_at < patience then
      wait = math.min(timeout, state.probe_at + patience - now)
    else
      state.probe_at, state.token = now, token
    end
  end
elseif what == 'ok' then
  state.state, state.failures, state.last_error = 'closed', 0, ''
elseif state.token ~= token then
  state.failures, state.last_error = state.failures + 1, error
  if state.state == 'half_open' or (state.state == 'closed' and state.failures >= threshold) then
    state.state, state.opened_at = 'open', now
  end
  state.token = token
end
redis.call('HSET', key, name, cjson.encode(state))
return string.format('%.3f', wait > 0 and math.max(wait, 0.001) or 0)
