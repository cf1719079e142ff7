-- Commit a failed attempt, for the job whose fence and worker still hold.
-- ARGV: id fence worker what error traceback delay-ms duration-ms result-ttl
--   what   retry: wait delay-ms as RETRYING, one retry used up
--          defer: the same, but the job keeps its retries (an open circuit breaker, a rate limit)
--          dead:  to the dead-letter queue
-- Returns 1, or 0 when the write is stale: then it is counted and changes nothing.

local id, fence, worker, what, why, trace = unpack(ARGV, 1, 6)
local delay, ttl = tonumber(ARGV[7]), ARGV[9]
local job = load(id)
if not job or job.state ~= 'EXECUTING' or job.fence ~= fence or job.worker ~= worker then
  count('stale')
  return 0
end
local at = now_ms()
local metadata = cjson.encode({error = why, seconds = tonumber(ARGV[8]) / 1000, retry_count = job.retries})
release(job)
if what == 'dead' then
  dead_letter(job, at, why, trace, metadata, ttl)
  return 1
end
if what == 'retry' then
  job.retries = redis.call('HINCRBY', P .. 'j:' .. id, 'retries', 1)
  count('retries|' .. escaped(job.task) .. '|' .. job.retries)
end
if what ~= 'defer' then abort_unit(job, at) end
local due = at + delay
move(job, 'FAILED', at, metadata)
move(job, 'RETRYING', at, cjson.encode({next_retry_ms = due, retry_count = job.retries, reason = why}))
redis.call('HSET', P .. 'j:' .. id, 'error', why, 'traceback', trace, 'due', int(due))
redis.call('HDEL', P .. 'j:' .. id, 'worker', 'progress', 'note', 'awaits', 'awaited')
redis.call('ZADD', P .. 'due', int(due), id)
wake('tracker')
return 1
