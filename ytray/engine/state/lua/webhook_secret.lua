-- The secrets that a user's webhooks are signed with: the newest, and those before it that still count.
-- ARGV: user fresh what kept-ms     what: make (if there is none) or rotate; fresh: the secret that is made then
-- Returns the secrets and until when each counts (in ms; inf for the newest), the newest first. Made once per `fresh`.

local SIGNED_BY = 5  -- secrets at most, however often they are rotated

local key, fresh, at = P .. 'wk:' .. ARGV[1], ARGV[2], now_ms()
redis.call('ZREMRANGEBYSCORE', key, '-inf', int(at))
local newest = redis.call('ZRANGEBYSCORE', key, '+inf', '+inf')
if #newest == 0 or (ARGV[3] == 'rotate' and not redis.call('ZSCORE', key, fresh)) then
  for _, old in ipairs(newest) do redis.call('ZADD', key, int(at + tonumber(ARGV[4])), old) end
  redis.call('ZADD', key, '+inf', fresh)
  redis.call('ZREMRANGEBYRANK', key, 0, -1 - SIGNED_BY)
end
return redis.call('ZREVRANGE', key, 0, -1, 'WITHSCORES')
