-- Make a batch of the rows that were staged for it: all of them at once.
-- ARGV: batch user key digest same state start-ms budget, then fields and values of b:<batch>
--   digest  of its options and rows, by their bytes; `same` is canonical. A key that is used again must fit one of them
--   state   RUNNING, or SCHEDULED to begin at start-ms (0: at once, or by cron)
--   budget  in micro-USD; '' for any amount
-- Returns the id of the batch: with an idempotency key that was used before, that one's. Errors: CONFLICT, GONE.

local batch, user, key, digest, same, state, start, budget = unpack(ARGV, 1, 8)
local function drop()
  redis.call('DEL', P .. 'bs:' .. batch, P .. 'bk:' .. batch, P .. 'bi:' .. batch, P .. 'bq:' .. batch)
end

if redis.call('EXISTS', P .. 'b:' .. batch) == 1 then return batch end
if key ~= '' then
  local other, known, known_same = find_keyed('b:', user, key)
  if other then
    drop()
    if known ~= digest and known_same ~= same then return redis.error_reply('CONFLICT ' .. other) end
    return other
  end
end
local total = redis.call('LLEN', P .. 'bq:' .. batch)
if total == 0 then return redis.error_reply('GONE') end
local at = now_ms()
redis.call('DEL', P .. 'bs:' .. batch)
for _, kind in ipairs({'bk:', 'bi:', 'bq:'}) do redis.call('PERSIST', P .. kind .. batch) end
redis.call('HSET', P .. 'b:' .. batch, 'state', state, 'created', int(at), 'total', total, 'waiting', total,
  'active', 0, 'completed', 0, 'failed', 0, 'cancelled', 0, 'discarded', 0, 'reused', 0, unpack(ARGV, 9))
if state == 'RUNNING' then redis.call('HSET', P .. 'b:' .. batch, 'started', int(at)) end
if start ~= '0' then redis.call('HSET', P .. 'b:' .. batch, 'start', start) end
if budget ~= '' then redis.call('HSET', P .. 'budgets', 'flow|' .. batch, budget) end
redis.call('ZADD', P .. 'batches', int(at), batch)
if user ~= '' then redis.call('ZADD', P .. 'ub:' .. user, int(at), batch) end
if key ~= '' then
  redis.call('HSET', P .. 'b:' .. batch, 'same', same)
  keep_keyed('b:', user, key, digest, batch)
end
redis.call('SADD', P .. 'living', batch)
count('batches|submitted')
count('items|submitted', total)
wake('feeder')
return batch
