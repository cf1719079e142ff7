-- A running job reports its progress or stores its checkpoint, under its fence. A flow's runner says what it awaits.
-- ARGV: id fence worker what value text
--   what   progress (value in percent, text for people), checkpoint (value as JSON) or awaits (value for people, text as
--          JSON; '': nothing)
-- Returns 1, or 0 when the write is stale: then it is counted and changes nothing. A job that runs elsewhere has no
-- fence ('').  Errors: UNKNOWN, DAMAGED.

local id, fence, worker, what, value, text = unpack(ARGV, 1, 6)
local job = load(id)
if not job then return no_job(id) end
local holds = job.fence == fence and job.worker == worker
if fence == '' then holds = job.lane == '~elsewhere' end
if job.state ~= 'EXECUTING' or not holds then
  count('stale')
  return 0
end
if what == 'progress' then
  redis.call('HSET', P .. 'j:' .. id, 'progress', value, 'note', text)
  try('', 'XADD', P .. 'events', 'MAXLEN', '~', EVENTS_KEPT, '*', 'e',
    'P ' .. int(now_ms()) .. ' ' .. id .. ' ' .. value .. ' ' .. text)
elseif what == 'awaits' then
  redis.call('HSET', P .. 'j:' .. id, 'awaits', value, 'awaited', text)
else
  redis.call('SET', P .. 'c:' .. id, value)
end
return 1
