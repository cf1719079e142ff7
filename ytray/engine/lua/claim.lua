-- Lease the next jobs of a lane: QUEUED to EXECUTING, fence raised, lease set, in one step for all of them.
-- ARGV: holder epoch lane lease-ms most-short most-long worker, then the names of the tasks known to be short.
-- One claim takes jobs of one kind, as its first job is: many short ones, which share Ray tasks, or a few others.
-- A job that has crashed a worker counts as long, so that it takes no other job with it the next time.
-- Returns {job, …}, a job being {id, fence, task, spec, retries, user, queue, generation, queued-ms}. Errors: EPOCH.

local holder, epoch, lane = ARGV[1], ARGV[2], ARGV[3]
if redis.call('GET', P .. 'epoch:' .. holder) ~= epoch then return redis.error_reply('EPOCH') end
if redis.call('SISMEMBER', P .. 'paused', lane) == 1 then return {} end
local most_short, most_long, worker = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local short = {}
for i = 8, #ARGV do short[ARGV[i]] = true end

local at = now_ms()
local until_ms = int(at + ARGV[4])
local ids = redis.call('ZRANGE', P .. 'ready:' .. lane, 0, math.max(most_short, most_long) - 1)
local claimed, leases, gone, first_is_short = {}, {}, {}, nil
local leaving, entering, waits = {}, {}, {}
for _, id in ipairs(ids) do
  local key = P .. 'j:' .. id
  local f = redis.call('HMGET', key, 'state', 'queue', 'created', 'task', 'spec', 'retries', 'crashes', 'user',
    'queued', 'generation')
  local is_short = (short[f[4]] and not f[7]) or false
  if first_is_short == nil then first_is_short = is_short end
  if is_short ~= first_is_short or #claimed >= (is_short and most_short or most_long) then break end
  if f[1] ~= 'QUEUED' then error('ready job ' .. id .. ' is ' .. tostring(f[1])) end
  local fence = redis.call('HINCRBY', key, 'fence', 1)
  redis.call('HSET', key, 'state', 'EXECUTING', 'started', int(at))
  if worker ~= '' then redis.call('HSET', key, 'worker', worker) end
  redis.call('RPUSH', P .. 'h:' .. id, 'QUEUED EXECUTING ' .. int(at) .. ' {"fence":' .. fence .. '}')
  local queue = f[2]
  leaving[queue] = leaving[queue] or {}
  entering[queue] = entering[queue] or {}
  table.insert(leaving[queue], id)
  table.insert(entering[queue], f[3])
  table.insert(entering[queue], id)
  leases[#leases + 1], leases[#leases + 2] = until_ms, id
  gone[#gone + 1] = id
  waits[queue] = (waits[queue] or 0) + at - (tonumber(f[9]) or at)
  claimed[#claimed + 1] = {id, fence, f[4], f[5], f[6] or '0', f[8] or '', queue, f[10] or '0', f[9] or '0'}
end
if #claimed == 0 then return {} end
redis.call('ZREM', P .. 'ready:' .. lane, unpack(gone))
redis.call('ZADD', P .. 'leases:' .. holder, unpack(leases))
for queue, left in pairs(leaving) do
  redis.call('ZREM', P .. 'in:' .. queue .. ':QUEUED', unpack(left))
  redis.call('ZADD', P .. 'in:' .. queue .. ':EXECUTING', unpack(entering[queue]))
  count('wait|' .. queue .. '|ms', int(waits[queue]))
  count('wait|' .. queue .. '|count', #left)
end
return claimed
