-- What undoes the outside effects of a running job, under its fence.
-- ARGV: id fence worker what, then …
--   what  prepare: digest task queue lane prio spec   becomes a job when the attempt ends in any other way than by its
--                  commit. The same digest again is the same effect, until it was undone.
--         undo:    digest, digest, …                  becomes a job now, where it was prepared and not undone yet
-- Returns 1, or 0 when the job is no longer this worker's: then it is counted and changes nothing.

local id, fence, worker, what = unpack(ARGV, 1, 4)
local job = load(id)
if not job or job.state ~= 'EXECUTING' or job.fence ~= fence or job.worker ~= worker then
  count('stale')
  return 0
end
local key = P .. 'u:' .. id
if what == 'prepare' then
  local digest, task, queue, lane, prio, spec = unpack(ARGV, 5, 10)
  if redis.call('HEXISTS', key, digest) == 0 then
    local number = redis.call('HINCRBY', P .. 'j:' .. id, 'unit', 1)
    redis.call('HSET', key, digest, cjson.encode({
      number = number, task = task, queue = queue, lane = lane, prio = tonumber(prio), spec = spec,
    }))
  end
  return 1
end
for i = 5, #ARGV do
  local prepared = redis.call('HGET', key, ARGV[i])
  local effect = prepared and decoded(prepared)
  if effect then
    submit_undoing(job, effect, now_ms())
    redis.call('HDEL', key, ARGV[i])
  end
end
return 1
