-- A new tracker or flow runner takes over: its predecessor's claims are refused from now on, and every job that
-- was in flight under it goes back to its queue. Ray stops the tasks of a dead owner, so none of them can finish;
-- one that is still running for a moment is held off by its fence.
-- ARGV: holder epoch result-ttl beside, then id, fence, counts, id, fence, counts, …
--   these are the flows whose code the predecessor ran as its process ended: each is a suspect and runs alone from now
--   on, and where `counts` is 1 that was a crash of it (marks.py)
--   beside  1 when the process ended soon after its start and no flow can be told to have done it: those that were there
--           so often are suspects, too
-- Returns how many jobs went back, then the ids of those that were struck off since nothing can be read of them.

local holder, beside = ARGV[1], ARGV[4] == '1'
local suspects = {}
for i = 5, #ARGV, 3 do suspects[ARGV[i]] = {fence = ARGV[i + 1], counts = ARGV[i + 2] == '1'} end
redis.call('SET', P .. 'epoch:' .. holder, ARGV[2])
local at = now_ms()
local told = {0}
for _, id in ipairs(try({}, 'ZRANGE', P .. 'leases:' .. holder, 0, -1)) do
  local job = load(id)
  if not job then
    strike(id, at)
    told[#told + 1] = id
  elseif job.state ~= 'EXECUTING' then
    release(job)  -- it has ended, or waits: whoever moved it by hand forgot its lease
  else
    if job.worker then abort_unit(job, at) end
    local suspect = suspects[id]
    if suspect and suspect.fence == job.fence then
      redis.call('HSET', P .. 'j:' .. id, 'suspect', 1)
      requeue(job, at, 'its process ended while it ran the code of this flow', suspect.counts, ARGV[3])
      suspects[id] = nil
    else
      if beside and try(0, 'HINCRBY', P .. 'j:' .. id, 'beside', 1) >= CRASHES_ALLOWED then
        redis.call('HSET', P .. 'j:' .. id, 'suspect', 1)
      end
      requeue(job, at, 'the ' .. holder .. ' actor was restarted', false, ARGV[3])
    end
    told[1] = told[1] + 1
  end
end
-- The reaper may have been here before.
for id, suspect in pairs(suspects) do
  local job = load(id)
  if job and job.state == 'QUEUED' and job.fence == suspect.fence then
    redis.call('HSET', P .. 'j:' .. id, 'suspect', 1)
    if suspect.counts then try(0, 'HINCRBY', P .. 'j:' .. id, 'crashes', 1) end
  end
end
wake(holder)
return told
