-- Give jobs to the next waiting items of a running batch. A row that was done before, by whatever batch, is done; one
-- that is being done is waited for; one whose job failed or was cancelled is taken up again where it stands.
-- ARGV: batch limit most
--   limit  how many of its items may be active
--   most   how many rows are looked at
-- Returns {how many items became active, how many rows still wait}.

local batch, limit, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local b = try({}, 'HMGET', P .. 'b:' .. batch, 'state', 'task', 'queue', 'lane', 'prio', 'user', 'head', 'salt',
  'active')
local state, task, queue, lane, prio, user, head, salt, active = unpack(b, 1, 9)
if state ~= 'RUNNING' then return {0, 0} end
if not (task and queue and lane and tonumber(prio) and head and tonumber(active)) then
  return redis.error_reply('DAMAGEDBATCH ' .. batch)
end
most = math.min(most, limit - active)
if most <= 0 then return {0, redis.call('LLEN', P .. 'bq:' .. batch)} end
local at = now_ms()
local score = int(at - tonumber(prio) * AGEING_MS)
local released, new, listed, ready = 0, {}, {}, {}

-- The id of a row's first job, and the job that stands for it now.
local function job_of(id, payload)
  local own = (salt and payload ~= '') and ('i' .. string.sub(redis.sha1hex(id .. ' ' .. salt), 1, 24)) or id
  return own, load(try(false, 'GET', P .. 'it:' .. own) or own)
end

local function activate(number, id)
  move_item(batch, number, 'a', at, id, '0')
  redis.call('HSET', P .. 'j:' .. id, 'released', int(at))
  released = released + 1
end

-- `before` is the job that stood for the row and was cancelled: what it cost, and its key, are the new one's.
local function create(number, id, spec, before)
  if before then
    for _, field in ipairs({'cost', 'rowkey'}) do
      local value = redis.call('HGET', P .. 'j:' .. before, field)
      if value then redis.call('HSET', P .. 'j:' .. id, field, value) end
    end
  end
  redis.call('HSET', P .. 'j:' .. id, 'state', 'QUEUED', 'queue', queue, 'task', task, 'created', int(at), 'prio', prio,
    'spec', spec, 'parent', batch, 'of', batch, 'items', batch .. ':' .. number, 'queued', int(at))
  if lane ~= queue then redis.call('HSET', P .. 'j:' .. id, 'lane', lane) end
  if user then redis.call('HSET', P .. 'j:' .. id, 'user', user) end
  redis.call('RPUSH', P .. 'h:' .. id, 'PENDING QUEUED ' .. int(at) .. ' {}')
  new[#new + 1] = id
  listed[#listed + 1], listed[#listed + 2] = int(at), id
  ready[#ready + 1], ready[#ready + 2] = score, id
  activate(number, id)
end

local function attach(number, job)
  if not string.find(' ' .. (job.items or '') .. ' ', ' ' .. batch .. ':' .. number .. ' ', 1, true) then
    job.items = (job.items and job.items .. ' ' or '') .. batch .. ':' .. number
    redis.call('HSET', P .. 'j:' .. job.id, 'items', job.items)
  end
end

-- A key that its row was given stands for one row, until that one is no longer kept. Returns whose it is, or nil.
local function taken_by(key, id)
  if salt then return nil end
  local other = redis.call('HGET', P .. 'rows:' .. (user or ''), escaped(task) .. ' ' .. key)
  if other and other ~= id then
    local items = redis.call('HGET', P .. 'j:' .. other, 'items')
    if items and not string.find(' ' .. items, ' ' .. batch .. ':', 1, true) then return other end
  end
  redis.call('HSET', P .. 'rows:' .. (user or ''), escaped(task) .. ' ' .. key, id)
  return nil
end

for _, row in ipairs(redis.call('LPOP', P .. 'bq:' .. batch, most) or {}) do
  local number, _, id, key, given, payload = string.match(row, '^(%d+)\t(%d+)\t(%S+)\t([^\t]*)\t(%d)\t(.*)$')
  local record = number and try(false, 'HGET', P .. 'bi:' .. batch, number)
  local letter, known_id = string.match(record or '', '^(%a) %d+ (%S+) ')
  if number and letter == 'w' and known_id == id then  -- else the input was edited meanwhile
    local own, job = job_of(id, payload)
    local other = given == '1' and taken_by(key, own)
    local error = job and job.state == 'FAILED' and redis.call('HGET', P .. 'j:' .. job.id, 'error') or ''
    if other then
      move_item(batch, number, 'f', at)
      redis.call('HSET', P .. 'be:' .. batch, number, 'IdempotencyConflict: the key ' .. key ..
        ' stands for another row, whose job is ' .. other .. '; give this row another key\n' .. row)
    elseif not job and redis.call('EXISTS', P .. 'j:' .. own) == 1 then
      move_item(batch, number, 'f', at)
      redis.call('HSET', P .. 'be:' .. batch, number, 'DamagedJob: what Redis has of its job ' .. own ..
        ' cannot be read\n' .. row)
    elseif not job and payload == '' then
      move_item(batch, number, 'f', at)
      redis.call('HSET', P .. 'be:' .. batch, number, 'InvalidArguments: what the row held is no longer kept; ' ..
        'resume the batch with its input\n' .. row)
    elseif not job then
      create(number, own, head .. payload .. '}')
      if given == '1' and not salt then redis.call('HSET', P .. 'j:' .. own, 'rowkey', escaped(task) .. ' ' .. key) end
    elseif job.state == 'CANCELLED' or string.find(error, 'JobCancelled: ', 1, true) then
      -- Neither it nor a step of it that was cancelled can move any more. Other batches that have the row keep it.
      local turn = tonumber(string.match(job.id, '_(%d+)$') or 1) + 1
      while redis.call('EXISTS', P .. 'j:' .. own .. '_' .. turn) == 1 do turn = turn + 1 end
      local id_now = own .. '_' .. turn
      redis.call('SET', P .. 'it:' .. own, id_now)
      redis.call('ZREM', P .. 'dlq', job.id)
      create(number, id_now, redis.call('HGET', P .. 'j:' .. job.id, 'spec'), job.id)
    else
      local wanted = is_wanted(job.id, job.items, batch)
      attach(number, job)
      if job.state == 'COMPLETED' then
        move_item(batch, number, 'c', at, job.id, '1')
      else
        activate(number, job.id)
        if job.state == 'FAILED' then
          -- Who has it made pays for it.
          if not wanted then redis.call('HSET', P .. 'j:' .. job.id, 'parent', batch, 'of', batch) end
          reopen(job, at, 'taken up again by batch ' .. batch)
        end
      end
    end
  end
end

if #new > 0 then
  tell('PENDING', 'QUEUED', at, new)
  redis.call('ZADD', P .. 'in:' .. queue .. ':QUEUED', unpack(listed))
  redis.call('ZADD', P .. 'task:' .. task, unpack(listed))
  if user then redis.call('ZADD', P .. 'user:' .. user, unpack(listed)) end
  redis.call('ZADD', P .. 'ready:' .. lane, unpack(ready))
  count('tasks|' .. queue .. '|' .. escaped(task) .. '|submitted', #new)
  wake(holder_of(lane))
end
tell_batch(batch, at)
end_batch(batch, at)
return {released, redis.call('LLEN', P .. 'bq:' .. batch)}
