-- What waits by this clock is moved as the clock was set; and the time now is kept, for the next tracker to compare.
-- ARGV: leases waits     milliseconds by which leases are moved, and what waits for its time or its turn; mostly 0
-- Returns {now, the time that was kept last (0: none)} in milliseconds.

local at, last = now_ms(), redis.call('GET', P .. 'clock') or '0'
redis.call('SET', P .. 'clock', int(at))

-- From the end that all move towards, so that none is met twice.
local function move_all(listing, by)
  local from, start = by < 0 and 'ZRANGE' or 'ZREVRANGE', 0
  repeat
    local rows = redis.call(from, P .. listing, start, start + 999, 'WITHSCORES')
    local moved = {}
    for i = 1, #rows, 2 do
      moved[#moved + 1], moved[#moved + 2] = int(tonumber(rows[i + 1]) + by), rows[i]
      if listing == 'due' and redis.call('HEXISTS', P .. 'j:' .. rows[i], 'due') == 1 then
        redis.call('HSET', P .. 'j:' .. rows[i], 'due', moved[#moved - 1])
      end
    end
    if #moved > 0 then redis.call('ZADD', P .. listing, unpack(moved)) end
    start = start + 1000
  until #rows < 2000
end

local leases, waits = tonumber(ARGV[1]), tonumber(ARGV[2])
if leases ~= 0 then
  for _, listing in ipairs({'leases:tracker', 'leases:flows', 'workers'}) do move_all(listing, leases) end
end
if waits ~= 0 then
  for _, listing in ipairs({'due', 'ready:default', 'ready:generation', 'ready:media', 'ready:batch', 'ready:~flow'}) do
    move_all(listing, waits)
  end
end
if leases ~= 0 or waits ~= 0 then wake('tracker') end
return {int(at), last}
