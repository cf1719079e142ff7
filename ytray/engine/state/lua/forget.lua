-- Delete ended jobs and all that belongs to them, and what is left of those that cannot be read. Jobs in the dead-letter queue stay until somebody decides, a batch's
-- items and their steps for as long as the batch.
-- ARGV: ended-before-ms dry-run, then ids
-- Returns the ids that were (in a dry run: would be) deleted.

local before, dry = tonumber(ARGV[1]), ARGV[2] == '1'
local gone = {}

-- Whether a flow or a batch is still there that the job belongs to.
local function is_part(job)
  for batch in string.gmatch(job.items or '', '(%S+):%d+') do
    if redis.call('EXISTS', P .. 'b:' .. batch) == 1 then return true end
  end
  return job.parent and redis.call('EXISTS', P .. 'j:' .. job.parent) == 1
end

-- What was known of a row goes with the job that stands for it now, and not with one that was cancelled before.
local function forget_row(id, user, key)
  local own = string.gsub(id, '_%d+$', '')
  if (redis.call('GET', P .. 'it:' .. own) or own) ~= id then return end
  redis.call('DEL', P .. 'it:' .. own)
  if key and redis.call('HGET', P .. 'rows:' .. user, key) == own then redis.call('HDEL', P .. 'rows:' .. user, key) end
end

local function delete(id)
  redis.call('DEL', P .. 'j:' .. id, P .. 'h:' .. id, P .. 'r:' .. id, P .. 'c:' .. id, P .. 'k:' .. id,
    P .. 'l:' .. id, P .. 'sj:' .. id)
  redis.call('HDEL', P .. 'budgets', 'flow|' .. id)
end

for i = 3, #ARGV do
  local id = ARGV[i]
  local job = load(id)
  if not job and not redis.call('ZSCORE', P .. 'dlq', id) then
    -- It stands among those that have ended, and was made long ago: nobody waits for it.
    gone[#gone + 1] = id
    if not dry then
      delete(id)
      strike(id, now_ms())
    end
  end
  if job and (job.state == 'COMPLETED' or job.state == 'CANCELLED' or job.state == 'FAILED') then
    local f = redis.call('HMGET', P .. 'j:' .. id, 'ended', 'user', 'key', 'rowkey', 'of')
    local kept = (redis.call('ZSCORE', P .. 'dlq', id) and not f[5]) or is_part(job)
    if not kept and tonumber(f[1] or 0) < before then
      gone[#gone + 1] = id
      if not dry then
        redis.call('ZREM', P .. 'in:' .. job.queue .. ':' .. job.state, id)
        redis.call('ZREM', P .. 'task:' .. job.task, id)
        if f[2] then redis.call('ZREM', P .. 'user:' .. f[2], id) end
        if f[3] then drop_keyed('j:', f[2] or '', f[3], id) end
        if f[5] then redis.call('ZREM', P .. 'dlq', id) end
        if job.items then forget_row(id, f[2] or '', f[4]) end
        delete(id)
      end
    end
  end
end
return gone
