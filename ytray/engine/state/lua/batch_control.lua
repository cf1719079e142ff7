-- What people and the clock decide about a batch as a whole.
-- ARGV: batch what reason
--   what  pause: start no more of its items; start: its time has come; cancel: stop its items too
-- Returns its state, also when it was that before: a call may be repeated after a lost reply. Errors: NOBATCH <id>, BATCH <id> <state> <what> when its state does not allow that.

local batch, what, reason = ARGV[1], ARGV[2], ARGV[3]
local MOVES = {
  pause = {RUNNING = 'PAUSED'},
  start = {SCHEDULED = 'RUNNING'},
  cancel = {SCHEDULED = 'CANCELLED', RUNNING = 'CANCELLED', PAUSED = 'CANCELLED'},
}
local key = P .. 'b:' .. batch
local state = redis.call('HGET', key, 'state')
if not state then return redis.error_reply('NOBATCH ' .. batch) end
for _, reached in pairs(MOVES[what]) do
  if state == reached and what ~= 'start' then return state end
end
local to = MOVES[what][state]
if not to then return redis.error_reply('BATCH ' .. batch .. ' ' .. state .. ' ' .. what) end
local at = now_ms()
if to == 'RUNNING' then
  run_batch(batch, at)
else
  redis.call('HSET', key, 'state', to, 'reason', reason)
  if redis.call('HEXISTS', key, 'started') == 1 then redis.call('HSETNX', key, 'idle_from', int(at)) end
end
if to == 'CANCELLED' then
  redis.call('HSET', key, 'ended', int(at))
  count('batches|CANCELLED')
  notice(batch, 'failure', at)
  tell_ended(to, {batch})
end
end_batch(batch, at)
tell_batch(batch, at)
wake('feeder')
return redis.call('HGET', key, 'state')
