-- A worker takes up the jobs of a lease. Ray runs a task again by itself when its worker or node died: that shows
-- here, as another worker's name on the same fence, and is counted as a crash of the job.
-- ARGV: worker lease-ms result-ttl, then id, fence, id, fence, …
-- The lease itself was set by the claim and is kept up by the tracker until now; from here on the worker does that.
-- Returns a fence for each job: the one to commit with, or 0 when the job is not this worker's to run (cancelled,
-- requeued, or dead-lettered).

local worker, lease, ttl = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local at = now_ms()
local alone = #ARGV == 5
local fences = {}
for i = 4, #ARGV, 2 do
  local id = ARGV[i]
  local key = P .. 'j:' .. id
  local f = try({}, 'HMGET', key, 'state', 'fence', 'worker')
  local fence = 0
  if f[1] == 'EXECUTING' and f[3] == worker then
    -- The call is repeated after a lost reply. The first may have raised the fence; and a job that this worker has
    -- lost does not have its name any more.
    fence = tonumber(f[2])
  elseif f[1] == 'EXECUTING' and f[2] == ARGV[i + 1] then
    if not f[3] then
      fence = tonumber(f[2])
      redis.call('HSET', key, 'worker', worker)
    else
      local job = load(id)
      if job then requeue(job, at, 'its worker died and Ray started it again', true, ttl) end
      if alone and job and job.state == 'QUEUED' then
        redis.call('ZREM', P .. 'ready:' .. job.lane, id)
        fence = redis.call('HINCRBY', key, 'fence', 1)
        move(job, 'EXECUTING', at, '{"fence":' .. fence .. '}')
        redis.call('HSET', key, 'worker', worker, 'started', int(at))
        redis.call('ZADD', P .. 'leases:tracker', int(at + lease), id)
      end
    end
  end
  fences[#fences + 1] = fence
end
redis.call('ZADD', P .. 'workers', int(at + lease), worker)
return fences
