-- A batch that runs again and again: its time has come, so a new batch is made of its rows.
-- ARGV: template batch salt next-ms due-ms
--   salt  names this time: its rows are new work, and twice the same time is once
-- Returns 1, or 0 when it had been made before or the template is no longer scheduled.

local template, batch, salt, following, due = unpack(ARGV, 1, 5)
local made = 0
if redis.call('HGET', P .. 'b:' .. template, 'state') ~= 'SCHEDULED' then return made end
if redis.call('EXISTS', P .. 'b:' .. batch) == 0 then
  local at = now_ms()
  for _, kind in ipairs({'b:', 'bq:', 'bi:', 'bk:'}) do redis.call('COPY', P .. kind .. template, P .. kind .. batch) end
  local key = P .. 'b:' .. batch
  redis.call('HDEL', key, 'cron', 'start', 'key', 'same', 'fired')
  redis.call('HSET', key, 'state', 'RUNNING', 'created', int(at), 'started', int(at), 'salt', salt, 'template', template)
  local budget = redis.call('HGET', P .. 'budgets', 'flow|' .. template)
  if budget then redis.call('HSET', P .. 'budgets', 'flow|' .. batch, budget) end
  redis.call('ZADD', P .. 'batches', int(at), batch)
  local user = redis.call('HGET', key, 'user')
  if user then redis.call('ZADD', P .. 'ub:' .. user, int(at), batch) end
  redis.call('SADD', P .. 'living', batch)
  count('batches|submitted')
  count('items|submitted', redis.call('HGET', key, 'total'))
  made = 1
  wake('feeder')
end
local fired = redis.call('HGET', P .. 'b:' .. template, 'fired')
redis.call('HSET', P .. 'b:' .. template, 'start', following, 'fired', int(math.max(fired or 0, due)))
return made
