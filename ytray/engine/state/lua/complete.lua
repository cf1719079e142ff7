-- Commit results: EXECUTING to COMPLETED, for each job whose fence and worker still hold.
-- ARGV: worker result-ttl, then id, fence, result, duration-ms, …  (four a job)
-- Returns how many were refused as stale; they are counted and change nothing. A repeat of a commit whose reply
-- was lost is no error.

local BUCKETS = {100, 500, 1000, 5000, 10000, 30000, 60000, 300000, 600000}
local worker, ttl = ARGV[1], ARGV[2]
local at = now_ms()
local ended_at = int(at)
local refused, released, by_task = 0, {}, {}
local moves = listing_moves('EXECUTING', 'COMPLETED')

-- Counters of one task in one queue, written once for all its jobs.
local function tally(queue, task, duration)
  local name = queue .. '|' .. task
  local sums = by_task[name]
  if not sums then
    sums = {name = queue .. '|' .. escaped(task), task = escaped(task), jobs = 0, ms = 0, buckets = {}}
    by_task[name] = sums
  end
  sums.jobs, sums.ms = sums.jobs + 1, sums.ms + duration
  local bucket = '+Inf'
  for _, edge in ipairs(BUCKETS) do
    if duration <= edge then
      bucket = edge
      break
    end
  end
  sums.buckets[bucket] = (sums.buckets[bucket] or 0) + 1
end

-- What the steps of a batch's items took, kept for the batch and for all batches of the same task.
local stages = {sums = {}}
function stages.add(batch, queue, task, duration)
  local name = batch .. ' ' .. queue .. '|' .. task
  local sums = stages.sums[name] or {batch = batch, stage = queue .. '|' .. task, n = 0, ms = 0, sq = 0}
  sums.n, sums.ms, sums.sq = sums.n + 1, sums.ms + duration, sums.sq + duration * duration
  stages.sums[name] = sums
end
function stages.flush()
  for _, sums in pairs(stages.sums) do
    local item_task = try(false, 'HGET', P .. 'b:' .. sums.batch, 'task')
    for _, key in ipairs(item_task and {P .. 'bd:' .. sums.batch, P .. 'bt:' .. item_task} or {}) do
      try(0, 'HINCRBY', key, sums.stage .. '|n', sums.n)
      try(0, 'HINCRBY', key, sums.stage .. '|ms', int(sums.ms))
      try(0, 'HINCRBY', key, sums.stage .. '|sq', int(sums.sq))
    end
  end
end

for i = 3, #ARGV, 4 do
  local id, fence, duration = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 3])
  local key = P .. 'j:' .. id
  local f = try({}, 'HMGET', key, 'state', 'fence', 'worker', 'queue', 'created', 'task', 'lane', 'parent', 'of', 'items',
    'unit')
  local can_be_read = f[4] and tonumber(f[5]) and f[6]
  if can_be_read and f[2] == fence and f[3] == worker and f[1] == 'EXECUTING' then
    redis.call('HSET', key, 'state', 'COMPLETED', 'ended', ended_at)
    try(0, 'RPUSH', P .. 'h:' .. id, 'EXECUTING COMPLETED ' .. ended_at .. ' {"seconds":' .. duration / 1000 .. '}')
    if f[8] then
      redis.call('SET', P .. 'r:' .. id, ARGV[i + 2])
    else
      redis.call('SET', P .. 'r:' .. id, ARGV[i + 2], 'EX', ttl)
    end
    if f[7] == '~flow' then
      redis.call('ZREM', P .. 'leases:flows', id)
      local job = load(id)
      if job then ended(job, at, ttl) end
    else
      released[#released + 1] = id
      local job = f[10] and load(id)
      if job then item_ended(job, at) end
      redis.call('PUBLISH', P .. 'done:' .. id, 'COMPLETED')
      if f[9] then stages.add(f[9], f[4], f[6], duration) end
    end
    if f[11] then redis.call('DEL', P .. 'u:' .. id) end
    moves.add(f[4], f[5], id)
    tally(f[4], f[6], duration)
  elseif not (f[1] == 'COMPLETED' and f[2] == fence and f[3] == worker) then
    refused = refused + 1
  end
end

if #released > 0 then
  redis.call('ZREM', P .. 'leases:tracker', unpack(released))
  tell_ended('COMPLETED', released)
end
moves.flush(at)
stages.flush()
for _, sums in pairs(by_task) do
  count('tasks|' .. sums.name .. '|completed', sums.jobs)
  count('seconds|' .. sums.task .. '|count', sums.jobs)
  count('seconds|' .. sums.task .. '|ms', int(sums.ms))
  for bucket, number in pairs(sums.buckets) do count('seconds|' .. sums.task .. '|' .. bucket, number) end
end
if refused > 0 then count('stale', refused) end
return refused
