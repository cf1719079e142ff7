-- Give up items that failed or were cancelled.
-- ARGV: batch, then numbers
-- Returns the ids of their jobs. Errors: NOBATCH.

local batch = ARGV[1]
if redis.call('EXISTS', P .. 'b:' .. batch) == 0 then return redis.error_reply('NOBATCH ' .. batch) end
local at, jobs = now_ms(), {}
for i = 2, #ARGV do
  local record = redis.call('HGET', P .. 'bi:' .. batch, ARGV[i])
  local letter, id = string.match(record or '', '^(%a) %d+ (%S+) ')
  if letter == 'f' or letter == 'x' then
    move_item(batch, ARGV[i], 'd', at)
    redis.call('HDEL', P .. 'be:' .. batch, ARGV[i])
  end
  if letter == 'f' or letter == 'x' or letter == 'd' then jobs[#jobs + 1] = id end
end
end_batch(batch, at)
tell_batch(batch, at)
return jobs
