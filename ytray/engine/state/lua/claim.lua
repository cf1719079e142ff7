-- Lease the next jobs of a lane: QUEUED to EXECUTING, fence raised, lease set, in one step for all of them.
-- ARGV: holder epoch lane lease-ms most-short most-long least worker, then the names of the tasks known to be short.
-- One claim takes jobs of one kind, as its first job is: many short ones, which share Ray tasks, or a few others.
-- Fewer than `least` waiting jobs are left waiting: nothing is free for them anyway, and together they cost less.
-- A job that has crashed a worker counts as long, so that it takes no other job with it the next time.
-- A job whose hash is missing or damaged is struck off: it must not block those behind it.
-- Returns {job, …}, a job being {id, fence, task, spec, retries, user, queue, generation, queued-ms}, or {id} of one that
-- was struck off. Errors: EPOCH.

local holder, epoch, lane = ARGV[1], ARGV[2], ARGV[3]
if redis.call('GET', P .. 'epoch:' .. holder) ~= epoch then return redis.error_reply('EPOCH') end
-- It claims again each second, whether there are flows or not.
if holder == 'flows' then redis.call('SET', P .. 'flows_at_work', int(now_ms() + ARGV[4])) end
if redis.call('SISMEMBER', P .. 'paused', lane) == 1 then return {} end
local most_short, most_long, least, worker = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
if least > 1 and redis.call('ZCARD', P .. 'ready:' .. lane) < least then return {} end
local ids = redis.call('ZRANGE', P .. 'ready:' .. lane, 0, math.max(most_short, most_long) - 1)
if #ids == 0 then return {} end
local struck = {}
local short = {}
for i = 9, #ARGV do short[ARGV[i]] = true end

redis.call('ZCARD', P .. 'leases:' .. holder)  -- refused before anything is moved, where somebody wrote over it
local at = now_ms()
local started, until_ms = int(at), int(at + ARGV[4])
local claimed, leases, first_is_short, passed = {}, {}, nil, 0
local moves = listing_moves('QUEUED', 'EXECUTING')
local waited = {}
for _, id in ipairs(ids) do
  local key = P .. 'j:' .. id
  local f = try({}, 'HMGET', key, 'state', 'queue', 'created', 'task', 'spec', 'retries', 'crashes', 'user',
    'queued', 'generation', 'fence', 'prio')
  local last_fence, queued = tonumber(f[11] or 0), tonumber(f[9]) or at
  if f[1] ~= 'QUEUED' or not (f[2] and tonumber(f[3]) and f[4] and tonumber(f[12]) and last_fence) then
    struck[#struck + 1] = id
  else
    local is_short = (short[f[4]] and not f[7]) or false
    if first_is_short == nil then first_is_short = is_short end
    if is_short ~= first_is_short or #claimed == (is_short and most_short or most_long) then break end
    local fence = int(last_fence + 1)
    if worker == '' then
      redis.call('HSET', key, 'state', 'EXECUTING', 'started', started, 'fence', fence)
    else
      redis.call('HSET', key, 'state', 'EXECUTING', 'started', started, 'fence', fence, 'worker', worker)
    end
    try(0, 'RPUSH', P .. 'h:' .. id, 'QUEUED EXECUTING ' .. started .. ' {"fence":' .. fence .. '}')
    local queue = f[2]
    moves.add(queue, f[3], id)
    leases[#leases + 1], leases[#leases + 2] = until_ms, id
    waited[queue] = (waited[queue] or 0) + at - queued
    claimed[#claimed + 1] = {id, tonumber(fence), f[4], f[5] or '', int(tonumber(f[6]) or 0), f[8] or '', queue,
      int(tonumber(f[10]) or 0), int(queued)}
  end
  passed = passed + 1
end
if passed > 0 then redis.call('ZREMRANGEBYRANK', P .. 'ready:' .. lane, 0, passed - 1) end
for _, id in ipairs(struck) do
  strike(id, at)
  claimed[#claimed + 1] = {id}
end
if #leases == 0 then
  if #struck > 0 then wake(holder) end  -- there may be more behind them
  return claimed
end
redis.call('ZADD', P .. 'leases:' .. holder, unpack(leases))
for queue, number in pairs(moves.flush(at)) do
  count('wait|' .. queue .. '|ms', int(math.max(0, waited[queue])))
  count('wait|' .. queue .. '|count', number)
end
return claimed
