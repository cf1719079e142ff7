-- A worker hands over jobs because its node is drained or Ray stops it: EXECUTING to QUEUED, for each job whose fence
-- and worker still hold. Nobody is to blame, no retry is used up, and a checkpoint stays. (A task may also stop its own
-- process in a way that looks like this: after a hundred times its job is to blame.)
-- ARGV: worker reason result-ttl, then id, fence, id, fence, …
-- Returns how many were handed over.

local FORGIVEN = 100
local worker, reason, ttl = ARGV[1], ARGV[2], ARGV[3]
local at, moved = now_ms(), 0
for i = 4, #ARGV, 2 do
  local job = load(ARGV[i])
  if job and job.state == 'EXECUTING' and job.fence == ARGV[i + 1] and job.worker == worker then
    abort_unit(job, at)
    requeue(job, at, reason, redis.call('HINCRBY', P .. 'j:' .. job.id, 'handed', 1) > FORGIVEN, ttl)
    count('handed_over|' .. job.queue)
    moved = moved + 1
  end
end
return moved
