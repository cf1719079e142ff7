-- Take a job out of the dead-letter queue: to run once more with its retries restored, or to be left as it is.
-- ARGV: id what     what: retry or remove
-- Returns 1. Errors: UNKNOWN when the job is not in the dead-letter queue, DAMAGED when it can only be removed.

local id = ARGV[1]
if not redis.call('ZSCORE', P .. 'dlq', id) then return redis.error_reply('UNKNOWN ' .. id) end
if ARGV[2] == 'remove' then
  redis.call('ZREM', P .. 'dlq', id)
  disown(id, 'was given up')  -- an operation that nobody will ask for again counts as spent
  return 1
end
local job = load(id)
if not job or job.state ~= 'FAILED' then return redis.error_reply('DAMAGED ' .. id) end
reopen(job, now_ms(), 'replayed from the dead-letter queue')
return 1
