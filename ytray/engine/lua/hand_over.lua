-- A worker hands over jobs because its node is drained or Ray stops it: EXECUTING to QUEUED, for each job whose fence
-- and worker still hold. Nobody is to blame, no retry is used up, and a checkpoint stays.
-- ARGV: worker reason result-ttl, then id, fence, id, fence, …
-- Returns how many were handed over.

local worker, reason, ttl = ARGV[1], ARGV[2], ARGV[3]
local at, moved = now_ms(), 0
for i = 4, #ARGV, 2 do
  local job = load(ARGV[i])
  if job and job.state == 'EXECUTING' and job.fence == ARGV[i + 1] and job.worker == worker then
    abort_unit(job, at)
    requeue(job, at, reason, false, ttl)
    count('handed_over|' .. job.queue)
    moved = moved + 1
  end
end
return moved
