-- Whether one more request of a caller fits its rate: a bucket that holds one second's worth and refills steadily.
-- ARGV: caller rate (requests a second)
-- Returns 0 when it does, else the milliseconds to wait.

local key, rate = P .. 'rate:' .. ARGV[1], tonumber(ARGV[2])
local at = now_ms()
local f = redis.call('HMGET', key, 'left', 'at')
local since = tonumber(f[2] or at)
local left = math.min(rate, tonumber(f[1] or rate) + math.max(0, at - since) * rate / 1000)
if at < since then redis.call('HSET', key, 'at', int(at)) end  -- the clock was set back: it fills from now on
if left < 1 then return math.ceil((1 - left) * 1000 / rate) end
redis.call('HSET', key, 'left', left - 1, 'at', int(at))
redis.call('PEXPIRE', key, 2000)
return 0
