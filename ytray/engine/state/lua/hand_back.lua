-- Jobs in flight go back to their queue: EXECUTING to QUEUED, for each job whose fence still holds.
-- ARGV: reason blame result-ttl, then id, fence, id, fence, …
--   fence  '*' when whoever holds the job is known to be gone
--   blame  1 when the job's worker died under it, 0 when it never got to run
-- Returns how many went back (or, crashed too often, to the dead-letter queue).

local reason, blame, ttl = ARGV[1], ARGV[2] == '1', ARGV[3]
local at, moved = now_ms(), 0
for i = 4, #ARGV, 2 do
  local job = load(ARGV[i])
  if job and job.state == 'EXECUTING' and (ARGV[i + 1] == '*' or job.fence == ARGV[i + 1]) then
    -- Who is gone may have begun the job; who hands it back under its fence has not.
    if ARGV[i + 1] == '*' and job.worker then abort_unit(job, at) end
    -- A lease that no worker had taken up cannot be to blame for a dead worker.
    requeue(job, at, reason, blame and job.worker, ttl)
    moved = moved + 1
  end
end
return moved
