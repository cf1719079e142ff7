-- For scripts that end jobs, or take them up again: what every ending has in common. After the other preludes.

-- The steps of a flow that has ended lose their results after a while; before that they are what it goes on from.
local function expire_steps(job, result_ttl)
  for _, kid in ipairs(try({}, 'SMEMBERS', P .. 'k:' .. job.id)) do
    redis.call('EXPIRE', P .. 'r:' .. kid, result_ttl)
  end
end

-- What every ending has in common. A flow that failed may be replayed, and a batch's item be taken up again after it
-- was cancelled: then the steps that are done must still have their results.
local function ended(job, at, result_ttl)
  redis.call('HSET', P .. 'j:' .. job.id, 'ended', int(at))
  redis.call('HDEL', P .. 'j:' .. job.id, 'due')
  redis.call('DEL', P .. 'c:' .. job.id)
  if job.lane == '~flow' and (job.state == 'COMPLETED' or (job.state == 'CANCELLED' and not job.parent)) then
    expire_steps(job, result_ttl)
  end
  if job.items then item_ended(job, at) end
  redis.call('PUBLISH', P .. 'done:' .. job.id, job.state)
  tell_ended(job.state, {job.id})
end

-- A job that failed is to run once more, with its retries restored; a flow then replays its failed steps.
local function reopen(job, at, reason)
  redis.call('ZREM', P .. 'dlq', job.id)
  redis.call('HDEL', P .. 'j:' .. job.id, 'ended', 'error', 'traceback', 'retries', 'crashes', 'worker', 'progress', 'note', 'awaits', 'awaited')
  if job.lane == '~flow' then redis.call('HINCRBY', P .. 'j:' .. job.id, 'generation', 1) end
  move(job, 'RETRYING', at, cjson.encode({reason = reason}))
  move(job, 'QUEUED', at)
  enqueue(job, at)
  if job.items then item_moved(job, 'a', at) end
end

-- What undoes an outside effect of a job becomes a job of its own, accepted as submit.lua accepts one; twice is once.
local function submit_undoing(job, prepared, at)
  local id, queue, created = job.id .. '-undo-' .. int(prepared.number), prepared.queue, int(at)
  if redis.call('EXISTS', P .. 'j:' .. id) == 1 then return end
  local user = redis.call('HGET', P .. 'j:' .. job.id, 'user')
  local undoing = {id = id, prio = prepared.prio, lane = prepared.lane}
  redis.call('HSET', P .. 'j:' .. id, 'state', 'QUEUED', 'queue', queue, 'task', prepared.task, 'created', created,
    'prio', int(prepared.prio), 'spec', prepared.spec)
  if prepared.lane ~= queue then redis.call('HSET', P .. 'j:' .. id, 'lane', prepared.lane) end
  redis.call('RPUSH', P .. 'h:' .. id, 'PENDING QUEUED ' .. created .. ' ' .. cjson.encode({undoes = job.id}))
  redis.call('ZADD', P .. 'in:' .. queue .. ':QUEUED', created, id)
  redis.call('ZADD', P .. 'task:' .. prepared.task, created, id)
  if user then
    redis.call('HSET', P .. 'j:' .. id, 'user', user)
    redis.call('ZADD', P .. 'user:' .. user, created, id)
  end
  enqueue(undoing, at)
  tell('PENDING', 'QUEUED', at, {id})
  count('tasks|' .. queue .. '|' .. escaped(prepared.task) .. '|submitted')
end

-- An attempt has ended in another way than by its commit: what it had prepared to undo is undone.
local function abort_unit(job, at)
  local prepared = try({}, 'HGETALL', P .. 'u:' .. job.id)
  for i = 2, #prepared, 2 do
    local effect = decoded(prepared[i])
    if effect then submit_undoing(job, effect, at) end
  end
  redis.call('DEL', P .. 'u:' .. job.id)
end

-- Whether a job is a step of a flow: its end is the flow's to deal with, or to fail of.
local function is_step(job)
  return job.parent and try(false, 'HGET', P .. 'j:' .. job.parent, 'lane') == '~flow'
end

local function dead_letter(job, at, why, trace, metadata, result_ttl)
  abort_unit(job, at)
  disown(job.id, 'failed', true)
  move(job, 'FAILED', at, metadata)
  redis.call('HSET', P .. 'j:' .. job.id, 'error', why, 'traceback', trace)
  count('tasks|' .. job.queue .. '|' .. escaped(job.task) .. '|failed')
  if not is_step(job) then
    redis.call('ZADD', P .. 'dlq', int(at), job.id)
    try(0, 'RPUSH', P .. 'alerts', job.id)
    wake('tracker')
    count('dead')
  end
  ended(job, at, result_ttl)
end

-- The job goes back to its queue. `blame` says that its worker died under it, which may happen so many times.
local function requeue(job, at, reason, blame, result_ttl)
  release(job)
  redis.call('HDEL', P .. 'j:' .. job.id, 'worker', 'progress', 'note', 'awaits', 'awaited')
  if blame then
    abort_unit(job, at)
    job.crashes = try(CRASHES_ALLOWED, 'HINCRBY', P .. 'j:' .. job.id, 'crashes', 1)
    if job.crashes >= CRASHES_ALLOWED then
      local why = 'the worker died ' .. CRASHES_ALLOWED .. ' times while it ran this job (last: ' .. reason .. ')'
      dead_letter(job, at, why, '', cjson.encode({reason = reason, crashes = job.crashes}), result_ttl)
      return
    end
  end
  local metadata = cjson.encode({reason = reason, crashes = job.crashes, fence = tonumber(job.fence)})
  move(job, 'QUEUED', at, metadata)
  enqueue(job, at)
end

-- A job that nobody can run, since its hash is missing or cannot be read: it stands in no queue and under no lease any
-- more, and the items of batches that wait for it have failed. While its hash is there people see it in its listing.
local function strike(id, at)
  for _, lane in ipairs({'default', 'generation', 'media', 'batch', '~flow'}) do
    try(0, 'ZREM', P .. 'ready:' .. lane, id)
  end
  for _, holder in ipairs({'tracker', 'flows'}) do try(0, 'ZREM', P .. 'leases:' .. holder, id) end
  try(0, 'ZREM', P .. 'due', id)
  if redis.call('EXISTS', P .. 'j:' .. id) == 0 then
    for _, queue in ipairs({'default', 'generation', 'media', 'batch'}) do
      for state in pairs(LEGAL) do try(0, 'ZREM', P .. 'in:' .. queue .. ':' .. state, id) end
    end
  end
  for _, batch in ipairs(try({}, 'SMEMBERS', P .. 'living')) do
    if try(0, 'SISMEMBER', P .. 'ba:' .. batch, id) == 1 then
      local cursor = '0'
      repeat
        local page = try({'0', {}}, 'HSCAN', P .. 'bi:' .. batch, cursor, 'COUNT', 1000)
        cursor = page[1]
        for i = 1, #page[2], 2 do
          local number = page[2][i]
          local line, job, key = string.match(page[2][i + 1], '^a (%d+) (%S+) %d (.*)$')
          if job == id then
            move_item(batch, number, 'f', at)
            try(0, 'HSET', P .. 'be:' .. batch, number, 'UnknownJob: what Redis had of its job ' .. id ..
              ' is missing or damaged; resume the batch with its input\n' ..
              table.concat({number, line, id, key, '0', ''}, '\t'))
          end
        end
      until cursor == '0'
      end_batch(batch, at)
      tell_batch(batch, at)
    end
  end
  count('unreadable')
end
