-- Queue the delayed and retrying jobs whose time has come: PENDING or RETRYING to QUEUED.
-- ARGV: most
-- Returns {how many, milliseconds until the next one is due (-1: there is none)}, then the ids of those that were struck
-- off since nothing can be read of them.

local at = now_ms()
local due = redis.call('ZRANGEBYSCORE', P .. 'due', '-inf', int(at), 'LIMIT', 0, ARGV[1])
local struck = {}
for _, id in ipairs(due) do
  local job = load(id)
  redis.call('ZREM', P .. 'due', id)
  if job and LEGAL[job.state].QUEUED and job.state ~= 'EXECUTING' then
    redis.call('HDEL', P .. 'j:' .. id, 'due')
    move(job, 'QUEUED', at)
    enqueue(job, at)
  elseif not job then
    strike(id, at)
    struck[#struck + 1] = id
  end
end
local first = redis.call('ZRANGE', P .. 'due', 0, 0, 'WITHSCORES')
return {#due, first[2] and math.max(0, tonumber(first[2]) - at) or -1, unpack(struck)}
