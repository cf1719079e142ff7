-- Delete a batch that ended long ago. Its items' jobs are cleaned up as jobs are, once no batch has them.
-- ARGV: batch ended-before-ms dry-run
-- Returns 1 when it went (in a dry run: would go).

local batch, before, dry = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local f = try({}, 'HMGET', P .. 'b:' .. batch, 'state', 'ended', 'active', 'user', 'key')
local ended_states = {COMPLETED = true, FAILED = true, CANCELLED = true}
if not f[1] or not ended_states[f[1]] or f[3] ~= '0' or tonumber(f[2] or 0) >= before then return 0 end
if not dry then
  for _, kind in ipairs({'b:', 'bq:', 'bi:', 'bk:', 'ba:', 'bf:', 'bd:', 'be:', 'bp:'}) do
    redis.call('UNLINK', P .. kind .. batch)
  end
  redis.call('ZREM', P .. 'batches', batch)
  redis.call('SREM', P .. 'living', batch)
  if f[4] then redis.call('ZREM', P .. 'ub:' .. f[4], batch) end
  if f[5] then drop_keyed('b:', f[4] or '', f[5], batch) end
  redis.call('HDEL', P .. 'budgets', 'flow|' .. batch)
end
return 1
