-- Put items that failed or were cancelled back among those that wait, and let the batch run.
-- ARGV: batch before-ms most, then numbers of items (none: whichever ended before `before-ms`)
-- Returns how many were put back. Errors: NOBATCH, BATCH when items of a batch that is cancelled are named: it would
-- have to go on as a whole. Named items of one that is paused wait until it goes on.

local batch, before, most = ARGV[1], ARGV[2], ARGV[3]
local state = redis.call('HGET', P .. 'b:' .. batch, 'state')
if not state then return redis.error_reply('NOBATCH ' .. batch) end
local at = now_ms()
if #ARGV > 3 and state == 'CANCELLED' then return redis.error_reply('BATCH ' .. batch .. ' CANCELLED replay') end
local f = redis.call('HMGET', P .. 'b:' .. batch, 'started', 'start', 'cron')
if state == 'CANCELLED' and not f[1] and (f[3] or tonumber(f[2] or 0) > at) then
  -- It was cancelled before it had begun: it waits for its time again.
  redis.call('HSET', P .. 'b:' .. batch, 'state', 'SCHEDULED')
  redis.call('HDEL', P .. 'b:' .. batch, 'ended', 'reason')
  redis.call('SADD', P .. 'living', batch)
  wake('feeder')
  return 0
end
local numbers = {unpack(ARGV, 4)}
if #numbers == 0 then numbers = redis.call('ZRANGEBYSCORE', P .. 'bf:' .. batch, '-inf', before, 'LIMIT', 0, most) end
local put_back = 0
for i = #numbers, 1, -1 do
  local number = numbers[i]
  local record = redis.call('HGET', P .. 'bi:' .. batch, number)
  local letter, line, id, key_ = string.match(record or '', '^(%a) (%d+) (%S+) %d (.*)$')
  if letter == 'f' or letter == 'x' then
    local row = redis.call('HGET', P .. 'be:' .. batch, number)
    row = row and string.match(row, '\n(.*)$')
    if row then
      redis.call('HDEL', P .. 'be:' .. batch, number)
      id = string.match(row, '^%d+\t%d+\t(%S+)\t')
    else
      -- Its job knows the arguments; a row without any says that its id is the job's own, but for its turn.
      id = string.gsub(id, '_%d+$', '')
      row = table.concat({number, line, id, key_, '0', ''}, '\t')
    end
    redis.call('LPUSH', P .. 'bq:' .. batch, row)
    move_item(batch, number, 'w', at, id, '0')
    put_back = put_back + 1
  end
end
local goes_on = state == 'PAUSED' or state == 'CANCELLED'
if put_back > 0 or goes_on then
  if #ARGV == 3 or not goes_on then run_batch(batch, at) end
  end_batch(batch, at)
  tell_batch(batch, at)
  wake('feeder')
end
return put_back
