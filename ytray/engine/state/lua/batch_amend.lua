-- Change a batch as its input was edited: all of the changes at once.
-- ARGV: batch list of changes: "add|change|remove number line job-id key given payload", tabs between
-- Returns {added, changed, removed}. Jobs that no batch wants any more are left to the feeder (batch_unwanted.lua).
-- Errors: NOBATCH.

local batch, changes = ARGV[1], ARGV[2]
local key = P .. 'b:' .. batch
local state = redis.call('HGET', key, 'state')
if not state then return redis.error_reply('NOBATCH ' .. batch) end
local at = now_ms()
local done = {add = 0, change = 0, remove = 0}

for _, row in ipairs(redis.call('LRANGE', changes, 0, -1)) do
  local what, number, line, id, row_key, given, payload =
    string.match(row, '^(%a+)\t(%d+)\t(%d+)\t(%S+)\t([^\t]*)\t(%d)\t(.*)$')
  local record = redis.call('HGET', P .. 'bi:' .. batch, number)
  local letter, known_id = string.match(record or '', '^(%a) %d+ (%S+) ')
  if what == 'add' and redis.call('HEXISTS', P .. 'bk:' .. batch, row_key) == 0 then
    number = redis.call('HINCRBY', key, 'total', 1)
    redis.call('HINCRBY', key, 'waiting', 1)
    redis.call('HSET', P .. 'bk:' .. batch, row_key, number)
    redis.call('HSET', P .. 'bi:' .. batch, number, 'w ' .. line .. ' ' .. id .. ' 0 ' .. row_key)
    redis.call('RPUSH', P .. 'bq:' .. batch, table.concat({number, line, id, row_key, given, payload}, '\t'))
    done.add = done.add + 1
  elseif what == 'change' and record then
    if letter == 'a' then redis.call('SADD', P .. 'unwanted', known_id) end
    move_item(batch, number, 'w', at, id, '0')
    redis.call('HDEL', P .. 'be:' .. batch, number)
    redis.call('RPUSH', P .. 'bq:' .. batch, table.concat({number, line, id, row_key, given, payload}, '\t'))
    done.change = done.change + 1
  elseif what == 'remove' and record and letter ~= 'c' and letter ~= 'd' then
    if letter == 'a' then redis.call('SADD', P .. 'unwanted', known_id) end
    move_item(batch, number, 'd', at)
    redis.call('HSET', P .. 'be:' .. batch, number, 'its row is no longer in the input')
    done.remove = done.remove + 1
  end
end
redis.call('DEL', changes)
if done.add + done.change > 0 then run_batch(batch, at) end
end_batch(batch, at)
tell_batch(batch, at)
wake('feeder')
return {done.add, done.change, done.remove}
