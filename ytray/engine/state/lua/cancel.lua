-- Cancel a job that has not ended, and its child jobs with it.
-- ARGV: id reason result-ttl [batch]
--   batch  only while this batch is cancelled: somebody may have resumed it meanwhile
-- Returns 1, or 0 when it is not. Errors: UNKNOWN, DAMAGED, ILLEGAL when the job has ended.

local at = now_ms()

local function cancel(job)
  -- The steps first: what they have spent is in what the flow's history says.
  for _, id in ipairs(try({}, 'SMEMBERS', P .. 'k:' .. job.id)) do
    local kid = load(id)
    if kid and LEGAL[kid.state].CANCELLED then cancel(kid) end
  end
  redis.call('ZREM', P .. 'ready:' .. job.lane, job.id)
  redis.call('ZREM', P .. 'due', job.id)
  if job.state == 'EXECUTING' and job.worker then
    release(job)
    try(0, 'RPUSH', P .. 'ctl:' .. job.worker, 'cancel ' .. job.id)
    redis.call('EXPIRE', P .. 'ctl:' .. job.worker, 3600)
  end
  release(job)
  local spent = disown(job.id, 'was cancelled')
  abort_unit(job, at)
  local metadata = {reason = ARGV[2]}
  if spent > 0 then metadata.spent_usd = spent / 1000000 end
  move(job, 'CANCELLED', at, cjson.encode(metadata))
  count('tasks|' .. job.queue .. '|' .. escaped(job.task) .. '|cancelled')
  ended(job, at, ARGV[3])
end

if ARGV[4] and redis.call('HGET', P .. 'b:' .. ARGV[4], 'state') ~= 'CANCELLED' then return 0 end
local job = load(ARGV[1])
if not job then return no_job(ARGV[1]) end
if not LEGAL[job.state].CANCELLED then return illegal(job, 'CANCELLED') end
cancel(job)
return 1
