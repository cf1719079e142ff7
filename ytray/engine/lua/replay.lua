-- Take a job out of the dead-letter queue: to run once more with its retries restored, or to be left as it is.
-- ARGV: id what     what: retry or remove
-- Returns 1. Errors: UNKNOWN when the job is not in the dead-letter queue.

local id = ARGV[1]
if redis.call('ZREM', P .. 'dlq', id) == 0 then return redis.error_reply('UNKNOWN ' .. id) end
if ARGV[2] == 'remove' then
  disown(id, 'was given up')  -- an operation that nobody will ask for again counts as spent
  return 1
end
reopen(load(id), now_ms(), 'replayed from the dead-letter queue')
return 1
