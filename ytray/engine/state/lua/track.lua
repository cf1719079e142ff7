-- Jobs that run elsewhere: ytray keeps their state and history and never dispatches them.
-- ARGV: id to metadata result-ttl, and to create one (to = 'QUEUED'): task queue prio user spec
-- Returns 1. Errors: UNKNOWN, DAMAGED, EXISTS, ILLEGAL, OWNED when the job is one that ytray itself runs.

local id, to, metadata, ttl = unpack(ARGV, 1, 4)
local at = now_ms()
if #ARGV > 4 then
  local task, queue, prio, user, spec = unpack(ARGV, 5, 9)
  if redis.call('EXISTS', P .. 'j:' .. id) == 1 then return redis.error_reply('EXISTS ' .. id) end
  redis.call('HSET', P .. 'j:' .. id, 'state', 'PENDING', 'queue', queue, 'task', task, 'created', int(at),
    'prio', prio, 'spec', spec, 'lane', '~elsewhere')
  redis.call('ZADD', P .. 'task:' .. task, int(at), id)
  if user ~= '' then
    redis.call('HSET', P .. 'j:' .. id, 'user', user)
    redis.call('ZADD', P .. 'user:' .. user, int(at), id)
  end
end
local job = load(id)
if not job then return no_job(id) end
if job.lane ~= '~elsewhere' then return redis.error_reply('OWNED ' .. id) end
if not LEGAL[job.state][to] then return illegal(job, to) end
move(job, to, at, metadata)
if to == 'EXECUTING' then
  redis.call('HSET', P .. 'j:' .. id, 'started', int(at))
elseif to == 'RETRYING' then
  redis.call('HINCRBY', P .. 'j:' .. id, 'retries', 1)
  redis.call('HDEL', P .. 'j:' .. id, 'ended')
elseif to == 'COMPLETED' or to == 'FAILED' or to == 'CANCELLED' then
  ended(job, at, ttl)
end
return 1
