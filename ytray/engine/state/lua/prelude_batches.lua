-- For scripts that move jobs: the items and batches that stand behind them. After prelude.lua.

-- Tell who watches a batch how its items stand.
local function tell_batch(batch, at)
  local f = try({}, 'HMGET', P .. 'b:' .. batch, 'state', 'waiting', 'active', 'completed', 'failed')
  if not (f[1] and f[2] and f[3] and f[4] and f[5]) then return end
  try('', 'XADD', P .. 'events', 'MAXLEN', '~', EVENTS_KEPT, '*', 'e', 'B ' .. int(at) .. ' ' .. batch .. ' ' ..
    table.concat(f, ' '))
end

-- A batch has something to tell its webhooks: complete, failure or paused.
local function notice(batch, event, at)
  redis.call('ZADD', P .. 'notices', int(at), batch .. ' ' .. event .. ' 1 ' .. int(at))
  wake('notices')
end

-- When nothing of a batch is left, it has ended: COMPLETED, or FAILED when some of its items did not complete.
local function end_batch(batch, at)
  local f = try({}, 'HMGET', P .. 'b:' .. batch, 'state', 'waiting', 'active', 'failed', 'cancelled')
  if f[1] == 'CANCELLED' and f[3] == '0' then redis.call('SREM', P .. 'living', batch) end
  local may_end = f[1] == 'RUNNING' or f[1] == 'PAUSED' or f[1] == 'FAILED'
  if not may_end or f[2] ~= '0' or f[3] ~= '0' then return end
  local to = (f[4] == '0' and f[5] == '0') and 'COMPLETED' or 'FAILED'
  if f[1] == to then return end
  redis.call('HSET', P .. 'b:' .. batch, 'state', to, 'ended', int(at), 'idle_from', int(at))
  redis.call('HDEL', P .. 'b:' .. batch, 'reason')
  redis.call('SREM', P .. 'living', batch)
  count('batches|' .. to)
  notice(batch, to == 'COMPLETED' and 'complete' or 'failure', at)
  tell_ended(to, {batch})
end

-- A batch begins or goes on. The time that it stood still does not count in what it is thought to take.
local function run_batch(batch, at)
  local key = P .. 'b:' .. batch
  local idle_from = redis.call('HGET', key, 'idle_from')
  if idle_from and redis.call('HEXISTS', key, 'started') == 1 then
    redis.call('HINCRBY', key, 'idle_ms', int(math.max(0, at - idle_from)))
  end
  redis.call('HSET', key, 'state', 'RUNNING')
  redis.call('HSETNX', key, 'started', int(at))
  redis.call('HDEL', key, 'ended', 'reason', 'webhook_error', 'idle_from')
  redis.call('SADD', P .. 'living', batch)
end

local ITEM_COUNTERS = {w = 'waiting', a = 'active', c = 'completed', f = 'failed', x = 'cancelled', d = 'discarded'}

-- Move an item of a batch to another state, its counters with it. Returns its old letter, or nil where there is none.
-- An item's record is "letter line job-id reused key".
local function move_item(batch, number, to, at, job_id, reused)
  local record = try(false, 'HGET', P .. 'bi:' .. batch, number)
  local letter, line, id, was_reused, key = string.match(record or '', '^(%a) (%d+) (%S+) (%d) (.*)$')
  if not ITEM_COUNTERS[letter] then return nil end
  reused = reused or was_reused
  redis.call('HSET', P .. 'bi:' .. batch, number, to .. ' ' .. line .. ' ' .. (job_id or id) .. ' ' .. reused .. ' ' .. key)
  if reused ~= was_reused then try(0, 'HINCRBY', P .. 'b:' .. batch, 'reused', reused == '1' and 1 or -1) end
  try(0, 'HINCRBY', P .. 'b:' .. batch, ITEM_COUNTERS[letter], -1)
  try(0, 'HINCRBY', P .. 'b:' .. batch, ITEM_COUNTERS[to], 1)
  if to == 'f' or to == 'x' then
    try(0, 'ZADD', P .. 'bf:' .. batch, int(at), number)
  elseif letter == 'f' or letter == 'x' then
    try(0, 'ZREM', P .. 'bf:' .. batch, number)
  end
  if letter == 'a' then try(0, 'SREM', P .. 'ba:' .. batch, id) end
  if to == 'a' then try(0, 'SADD', P .. 'ba:' .. batch, job_id or id) end
  if to ~= 'w' and to ~= 'a' and to ~= letter then count('items|' .. ITEM_COUNTERS[to]) end
  return letter
end

-- The items that a job stands for: of batches that are still there, and have not put another job in its place.
local function places_of(job_id, items)
  local places = {}
  for batch, number in string.gmatch(items or '', '(%S+):(%d+)') do
    local letter, id = string.match(try(false, 'HGET', P .. 'bi:' .. batch, number) or '', '^(%a) %d+ (%S+) ')
    local state = id == job_id and try(false, 'HGET', P .. 'b:' .. batch, 'state')
    if state then
      places[#places + 1] = {batch = batch, number = number, letter = letter, state = state}
    end
  end
  return places
end

-- Whether a batch waits for the job, apart from one.
local function is_wanted(job_id, items, but)
  for _, place in ipairs(places_of(job_id, items)) do
    if place.batch ~= but and place.letter == 'a' and place.state ~= 'CANCELLED' then return true end
  end
  return false
end

-- From which states an item follows its job: one that was given up stays so, and a job that fails for another batch
-- is no failure of an item that still waits.
local FOLLOWS = {a = 'fxw', c = 'afxw', f = 'a', x = 'a'}

-- The job of an item has ended, or (letter 'a') goes on after it had: in every batch that has the item.
local function item_moved(job, letter, at)
  for _, place in ipairs(places_of(job.id, job.items)) do
    local goes_on = letter ~= 'a' or (place.state ~= 'CANCELLED' and place.state ~= 'COMPLETED')
    if goes_on and string.find(FOLLOWS[letter], place.letter, 1, true) then
      move_item(place.batch, place.number, letter, at)
      if letter == 'a' and place.state == 'FAILED' then run_batch(place.batch, at) end
      if letter ~= 'a' then end_batch(place.batch, at) end
      tell_batch(place.batch, at)
    end
  end
  wake('feeder')
end

-- Which steps a completed item took: what the items that are left will need is known by that.
local function count_steps(batch, id)
  for _, kid in ipairs(try({}, 'SMEMBERS', P .. 'k:' .. id)) do
    local f = try({}, 'HMGET', P .. 'j:' .. kid, 'task', 'lane')
    if f[2] == '~flow' then
      count_steps(batch, kid)
    elseif f[1] then
      try(0, 'HINCRBY', P .. 'bp:' .. batch, f[1], 1)
    end
  end
end

local ITEM_LETTERS = {COMPLETED = 'c', FAILED = 'f', CANCELLED = 'x'}

-- An item's job has ended. One that is over the batch's budget pauses the batch: the rest would fail in the same way.
local function item_ended(job, at)
  local f = redis.call('HMGET', P .. 'j:' .. job.id, 'released', 'error')
  for _, place in ipairs(places_of(job.id, job.items)) do
    local batch, key = place.batch, P .. 'b:' .. place.batch
    if job.state == 'COMPLETED' and place.letter == 'a' then
      try(0, 'HINCRBY', key, 'took_ms', int(math.max(0, at - (tonumber(f[1]) or at))))
      try(0, 'HINCRBY', key, 'took', 1)
      if job.lane == '~flow' then count_steps(batch, job.id) end
      try(0, 'HINCRBY', P .. 'bt:' .. job.task, 'items', 1)
    elseif job.state == 'FAILED' and f[2] and string.find(f[2], 'OverBudget: ', 1, true)
      and string.find(f[2], batch, 1, true) and place.state == 'RUNNING' then
      redis.call('HSET', key, 'state', 'PAUSED', 'reason', 'its budget is used up', 'idle_from', int(at))
      notice(batch, 'paused', at)
    end
  end
  item_moved(job, ITEM_LETTERS[job.state], at)
end
