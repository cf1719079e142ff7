-- Delete ended jobs and all that belongs to them. Jobs in the dead-letter queue stay until somebody decides.
-- ARGV: ended-before-ms dry-run, then ids
-- Returns the ids that were (in a dry run: would be) deleted.

local before, dry = tonumber(ARGV[1]), ARGV[2] == '1'
local gone = {}
for i = 3, #ARGV do
  local id = ARGV[i]
  local job = load(id)
  if job and (job.state == 'COMPLETED' or job.state == 'CANCELLED' or job.state == 'FAILED') then
    local f = redis.call('HMGET', P .. 'j:' .. id, 'ended', 'user', 'key')
    local kept = redis.call('ZSCORE', P .. 'dlq', id)
      or (job.parent and redis.call('EXISTS', P .. 'j:' .. job.parent) == 1)
    if not kept and tonumber(f[1] or 0) < before then
      gone[#gone + 1] = id
      if not dry then
        redis.call('ZREM', P .. 'in:' .. job.queue .. ':' .. job.state, id)
        redis.call('ZREM', P .. 'task:' .. job.task, id)
        if f[2] then redis.call('ZREM', P .. 'user:' .. f[2], id) end
        if f[3] then redis.call('DEL', P .. 'idem:' .. (f[2] or '') .. ':' .. f[3]) end
        redis.call('DEL', P .. 'j:' .. id, P .. 'h:' .. id, P .. 'r:' .. id, P .. 'c:' .. id, P .. 'k:' .. id,
          P .. 'l:' .. id, P .. 'sj:' .. id)
        redis.call('HDEL', P .. 'budgets', 'flow|' .. id)
      end
    end
  end
end
return gone
