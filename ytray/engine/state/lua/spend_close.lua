-- How a paid call ended.
-- ARGV: key job fence outcome usd units asset error      (usd in micro-USD)
--   outcome   done:      it bought `asset` for `usd`
--             failed:    it was refused or never sent, and costs nothing
--             uncertain: nobody knows; its estimate counts as spent until somebody does
-- Returns 1, or 0 when another attempt has taken the call over: then nothing changes.

local key, id, fence, outcome = unpack(ARGV, 1, 4)
local usd, units, asset, why = tonumber(ARGV[5]), ARGV[6], ARGV[7], ARGV[8]
local call = load_call(key)
if not call or call.job ~= id or call.fence ~= fence or call.state == 'done' or call.state == 'failed' then
  count('stale')
  return 0
end
if outcome == 'done' then
  settle(call, call.lost + usd)
  redis.call('HSET', P .. 's:' .. key, 'asset', asset, 'units', units)
  redis.call('HDEL', P .. 's:' .. key, 'error')
elseif outcome == 'failed' then
  settle(call, call.lost)
  redis.call('HSET', P .. 's:' .. key, 'error', why)
else
  settle(call, call.lost + call.estimate)
  redis.call('HSET', P .. 's:' .. key, 'error', why)
end
redis.call('HSET', P .. 's:' .. key, 'state', outcome, 'ended', int(now_ms()))
count('calls|' .. escaped(call.provider) .. '|' .. escaped(call.model) .. '|' .. outcome)
return 1
