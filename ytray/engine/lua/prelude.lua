-- Put in front of every script here. KEYS[1] is the key prefix, "{namespace}:"; the braces keep all keys of one
-- system in one slot of a Redis Cluster. Times are milliseconds of the Redis server's own clock, so that no two
-- machines can disagree about when a lease ends.
--
--   j:<id>            hash    the job: state queue task created prio spec, and what has happened to it since
--   h:<id>            list    its history, one entry a move: "FROM TO at-ms {metadata}"
--   r:<id>            string  its result as JSON; expires
--   c:<id>            string  its checkpoint as JSON
--   u:<id>            hash    digest → JSON of a job that is to undo an outside effect, unless this job commits (unit.lua)
--   k:<id>            set     ids of its child jobs (the steps of a flow)
--   in:<queue>:<STATE> zset   ids by time of creation: listings and counts
--   task:<name> user:<id>  zset  the same, for listings by task and by user
--   ready:<lane>      zset    claimable jobs; the lowest score goes first. A lane is a queue, or ~flow
--   due               zset    delayed and retrying jobs, by the time they are to be queued
--   leases:<holder>   zset    jobs in flight, by the time their lease ends; a holder is "tracker" or "flows"
--   epoch:<holder>    string  the holder that is in office; an older one's claims are refused
--   workers           zset    workers that have run jobs, by the time until which they count as active
--   breakers          hash    what is known of each dependency, as JSON (breaker.py)
--   gauges            hash    what the helpers of ytray.metrics set
--   code:<sha>        string  a task that a script defined, pickled
--   keys              hash    API keys by id, as JSON, with the hash of their secret (api/keys.py)
--   rate:<key id>     hash    how many requests a key has left, and as of when; expires
--   stage:<id>        list    parts of a large submission that is not yet committed; expires
--   dlq               zset    the dead-letter queue, by time of failure
--   idem:<user>:<key> string  "<digest of task and arguments> <job id>"
--   paused            set     queues that start nothing
--   m                 hash    counters of the metrics
--   wake:<holder>     list    at most one element: something can be claimed
--   ctl:<worker>      list    orders to a worker: "cancel <id>"
--   alerts announcing lists   ids that entered the dead-letter queue: not yet announced, and just being so
--   done:<id>         channel told when a job has ended
--   events            stream of what happened lately, for who watches: "T FROM TO at-ms id id …", or of a running
--                     job "P at-ms id percent text"; cut off at the older end
--   l:<id>            list    what the job's attempts logged, one JSON object a line (joblog.py)
--   s:<key>           hash    a paid call in the spend journal (spend/journal.py); money is in micro-USD everywhere
--   sj:<id>           set     keys of the paid calls that a job made or took over
--   spends su:<user>  zset    keys of all paid calls, and of a user's, by the time of their intent
--   spent             hash    settled spending, by "user|<user>|<YYYY-MM>"; a job's and a flow's is in its j:<id>
--   held              hash    reserved by calls that are not settled: the same names, and "flow|<id>"
--   budgets           hash    limits: "user|<user>" for a month, "flow|<id>" altogether
--   busy:<model>      zset    calls that the model runs now, by the time after which they no longer count
--   limits:*                  of the library that counts requests and tokens a minute
--   b:<batch>         hash    a batch: state, options, and its items counted by state (batch/model.py)
--   bq:<batch>        list    its waiting rows, the next first: "number line job-id key given payload", tabs between
--   bi:<batch>        hash    number → "letter line job-id reused key" of each item; the letter is its state
--   bk:<batch>        hash    key → number
--   ba:<batch>        set     jobs of its active items
--   bf:<batch>        zset    numbers of the items that failed or were cancelled, by time
--   bd:<batch>        hash    "queue|task|n", "…|ms", "…|sq": steps that its items have done, their time and its square
--   bt:<task>         hash    the same of all batches of a task, and "items": how many items were done
--   bp:<batch>        hash    how many steps of each task its completed items took, where these are flows
--   be:<batch>        hash    number → error and row of an item that never got a job
--   bs:<batch>        hash    the part of a batch's input that was staged last, and what was answered; expires
--   it:<job>          string  the job that stands for a batch's row after this one was cancelled
--   batches ub:<user> zset    batches by time of creation
--   unwanted          set     jobs of rows that were edited meanwhile, to be cancelled unless another batch wants them
--   living            set     batches that the feeder looks at: not ended, or with jobs still to be stopped
--   notices           zset    "batch event try": webhooks to be told, by the time when
--   rows:<user>       hash    "task key" of rows with a key of their own → the job id that they stand for
--   slots             hash    slots by queue that the cluster offers, as the tracker saw them last

local P = KEYS[1]

-- How many milliseconds of waiting one step of priority is worth: ageing is built into the score, so a job of
-- priority 0 goes before a newer job of priority 9 once it has waited nine minutes longer.
local AGEING_MS = 60000
local CRASHES_ALLOWED = 3

local LEGAL = {
  PENDING = {QUEUED = true, CANCELLED = true},
  QUEUED = {EXECUTING = true, CANCELLED = true},
  EXECUTING = {COMPLETED = true, FAILED = true, QUEUED = true, CANCELLED = true},
  FAILED = {RETRYING = true},
  RETRYING = {QUEUED = true, CANCELLED = true},
  COMPLETED = {},
  CANCELLED = {},
}

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function int(number)
  return string.format('%.0f', number)
end

local function wake(holder)
  if redis.call('LLEN', P .. 'wake:' .. holder) == 0 then
    redis.call('RPUSH', P .. 'wake:' .. holder, '1')
  end
end

local function holder_of(lane)
  if lane == '~flow' then return 'flows' end
  return 'tracker'
end

-- The fields that every move needs. `lane` is only stored where it differs from the queue.
local function load(id)
  local f = redis.call('HMGET', P .. 'j:' .. id,
    'state', 'queue', 'created', 'task', 'prio', 'lane', 'fence', 'worker', 'retries', 'crashes', 'parent', 'items')
  if not f[1] then return nil end
  return {
    id = id, state = f[1], queue = f[2], created = f[3], task = f[4], prio = tonumber(f[5]), lane = f[6] or f[2],
    fence = f[7] or '0', worker = f[8], retries = tonumber(f[9] or 0), crashes = tonumber(f[10] or 0), parent = f[11],
    items = f[12],
  }
end

local EVENTS_KEPT = 20000
local IDS_IN_EVENT = 100

-- Tell who watches of jobs that made the same move: a few entries for many jobs, since this is on every job's way.
local function tell(from, to, at, ids)
  local head = 'T ' .. from .. ' ' .. to .. ' ' .. int(at) .. ' '
  for i = 1, #ids, IDS_IN_EVENT do
    local some = table.concat(ids, ' ', i, math.min(i + IDS_IN_EVENT - 1, #ids))
    redis.call('XADD', P .. 'events', 'MAXLEN', '~', EVENTS_KEPT, '*', 'e', head .. some)
  end
end

local function illegal(job, to)
  return redis.error_reply('ILLEGAL ' .. job.id .. ' ' .. job.state .. ' ' .. to)
end

-- One move: the state, the listing it stands in and the history change together. The caller has checked LEGAL
-- where the move depends on input; a move that the scripts themselves could get wrong stops the script.
local function move(job, to, at, metadata)
  if not LEGAL[job.state][to] then error('illegal move of ' .. job.id .. ': ' .. job.state .. ' to ' .. to) end
  redis.call('HSET', P .. 'j:' .. job.id, 'state', to)
  redis.call('ZREM', P .. 'in:' .. job.queue .. ':' .. job.state, job.id)
  redis.call('ZADD', P .. 'in:' .. job.queue .. ':' .. to, job.created, job.id)
  redis.call('RPUSH', P .. 'h:' .. job.id, job.state .. ' ' .. to .. ' ' .. int(at) .. ' ' .. (metadata or '{}'))
  tell(job.state, to, at, {job.id})
  job.state = to
end

-- The listings of many jobs that make the same move, changed in a few calls: add(queue, created, id), then flush(at),
-- which tells of the moves and returns how many jobs of each queue there were.
local function listing_moves(from, to)
  local leaving, entering, numbers = {}, {}, {}
  local moves = {}
  function moves.add(queue, created, id)
    if not leaving[queue] then leaving[queue], entering[queue] = {}, {} end
    local left, entered = leaving[queue], entering[queue]
    left[#left + 1] = id
    entered[#entered + 1] = created
    entered[#entered + 1] = id
  end
  function moves.flush(at)
    for queue, left in pairs(leaving) do
      tell(from, to, at, left)
      redis.call('ZREM', P .. 'in:' .. queue .. ':' .. from, unpack(left))
      redis.call('ZADD', P .. 'in:' .. queue .. ':' .. to, unpack(entering[queue]))
      numbers[queue] = #left
    end
    return numbers
  end
  return moves
end

local function enqueue(job, at)
  redis.call('ZADD', P .. 'ready:' .. job.lane, int(at - job.prio * AGEING_MS), job.id)
  redis.call('HSET', P .. 'j:' .. job.id, 'queued', int(at))
  wake(holder_of(job.lane))
end

local function count(field, by)
  redis.call('HINCRBY', P .. 'm', field, by or 1)
end

local function release(job)
  redis.call('ZREM', P .. 'leases:' .. holder_of(job.lane), job.id)
end

-- Tell who watches a batch how its items stand.
local function tell_batch(batch, at)
  local f = redis.call('HMGET', P .. 'b:' .. batch, 'state', 'waiting', 'active', 'completed', 'failed')
  if not f[1] then return end
  redis.call('XADD', P .. 'events', 'MAXLEN', '~', EVENTS_KEPT, '*', 'e', 'B ' .. int(at) .. ' ' .. batch .. ' ' ..
    table.concat(f, ' '))
end

-- A batch has something to tell its webhooks: complete, failure or paused.
local function notice(batch, event, at)
  redis.call('ZADD', P .. 'notices', int(at), batch .. ' ' .. event .. ' 1 ' .. int(at))
  wake('notices')
end

-- When nothing of a batch is left, it has ended: COMPLETED, or FAILED when some of its items did not complete.
local function end_batch(batch, at)
  local f = redis.call('HMGET', P .. 'b:' .. batch, 'state', 'waiting', 'active', 'failed', 'cancelled')
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
  redis.call('PUBLISH', P .. 'done:' .. batch, to)
end

-- A batch begins or goes on. The time that it stood still does not count in what it is thought to take.
local function run_batch(batch, at)
  local key = P .. 'b:' .. batch
  local idle_from = redis.call('HGET', key, 'idle_from')
  if idle_from and redis.call('HEXISTS', key, 'started') == 1 then
    redis.call('HINCRBY', key, 'idle_ms', int(at - idle_from))
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
  local record = redis.call('HGET', P .. 'bi:' .. batch, number)
  if not record then return nil end
  local letter, line, id, was_reused, key = string.match(record, '^(%a) (%d+) (%S+) (%d) (.*)$')
  reused = reused or was_reused
  redis.call('HSET', P .. 'bi:' .. batch, number, to .. ' ' .. line .. ' ' .. (job_id or id) .. ' ' .. reused .. ' ' .. key)
  if reused ~= was_reused then redis.call('HINCRBY', P .. 'b:' .. batch, 'reused', reused == '1' and 1 or -1) end
  redis.call('HINCRBY', P .. 'b:' .. batch, ITEM_COUNTERS[letter], -1)
  redis.call('HINCRBY', P .. 'b:' .. batch, ITEM_COUNTERS[to], 1)
  if to == 'f' or to == 'x' then
    redis.call('ZADD', P .. 'bf:' .. batch, int(at), number)
  elseif letter == 'f' or letter == 'x' then
    redis.call('ZREM', P .. 'bf:' .. batch, number)
  end
  if letter == 'a' then redis.call('SREM', P .. 'ba:' .. batch, id) end
  if to == 'a' then redis.call('SADD', P .. 'ba:' .. batch, job_id or id) end
  if to ~= 'w' and to ~= 'a' and to ~= letter then count('items|' .. ITEM_COUNTERS[to]) end
  return letter
end

-- The items that a job stands for: of batches that are still there, and have not put another job in its place.
local function places_of(job_id, items)
  local places = {}
  for batch, number in string.gmatch(items or '', '(%S+):(%d+)') do
    local letter, id = string.match(redis.call('HGET', P .. 'bi:' .. batch, number) or '', '^(%a) %d+ (%S+) ')
    if id == job_id then
      local state = redis.call('HGET', P .. 'b:' .. batch, 'state')
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
  for _, kid in ipairs(redis.call('SMEMBERS', P .. 'k:' .. id)) do
    local f = redis.call('HMGET', P .. 'j:' .. kid, 'task', 'lane')
    if f[2] == '~flow' then
      count_steps(batch, kid)
    elseif f[1] then
      redis.call('HINCRBY', P .. 'bp:' .. batch, f[1], 1)
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
      redis.call('HINCRBY', key, 'took_ms', int(at - (f[1] or at)))
      redis.call('HINCRBY', key, 'took', 1)
      if job.lane == '~flow' then count_steps(batch, job.id) end
      redis.call('HINCRBY', P .. 'bt:' .. job.task, 'items', 1)
    elseif job.state == 'FAILED' and f[2] and string.find(f[2], 'OverBudget: ', 1, true)
      and string.find(f[2], batch, 1, true) and place.state == 'RUNNING' then
      redis.call('HSET', key, 'state', 'PAUSED', 'reason', 'its budget is used up', 'idle_from', int(at))
      notice(batch, 'paused', at)
    end
  end
  item_moved(job, ITEM_LETTERS[job.state], at)
end

-- The steps of a flow that has ended lose their results after a while; before that they are what it goes on from.
local function expire_steps(job, result_ttl)
  for _, kid in ipairs(redis.call('SMEMBERS', P .. 'k:' .. job.id)) do
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
end

-- A job that failed is to run once more, with its retries restored; a flow then replays its failed steps.
local function reopen(job, at, reason)
  redis.call('ZREM', P .. 'dlq', job.id)
  redis.call('HDEL', P .. 'j:' .. job.id, 'ended', 'error', 'traceback', 'retries', 'crashes', 'worker', 'progress', 'note')
  if job.lane == '~flow' then redis.call('HINCRBY', P .. 'j:' .. job.id, 'generation', 1) end
  move(job, 'RETRYING', at, cjson.encode({reason = reason}))
  move(job, 'QUEUED', at)
  enqueue(job, at)
  if job.items then item_moved(job, 'a', at) end
end

-- The job, the flows above it, and the batch that it is an item of; nearest first.
local function lineage(id)
  local found = {}
  while id and #found < 8 do
    found[#found + 1] = id
    id = redis.call('HGET', P .. 'j:' .. id, 'parent')
  end
  return found
end

-- Where the cost of a job, a flow or a batch is kept; nil when there is none of that id (any more).
local function cost_of(id)
  for _, kind in ipairs({'j:', 'b:'}) do
    if redis.call('EXISTS', P .. kind .. id) == 1 then return P .. kind .. id end
  end
end

-- An entry of the spend journal. `lost` is what earlier calls of the same key cost, `usd` that and this one's cost.
local function load_call(key)
  local f = redis.call('HMGET', P .. 's:' .. key, 'state', 'job', 'fence', 'user', 'month', 'provider', 'model',
    'estimate', 'lost', 'usd', 'held', 'sent', 'op', 'asset', 'allowed')
  if not f[1] then return nil end
  return {
    key = key, state = f[1], job = f[2], fence = f[3], user = f[4], month = f[5], provider = f[6], model = f[7],
    estimate = tonumber(f[8]), lost = tonumber(f[9] or 0), usd = tonumber(f[10] or 0), held = tonumber(f[11] or 0),
    sent = f[12], op = f[13] or '', asset = f[14] or '', allowed = f[15],
  }
end

-- Reserve the estimate of a call (sign 1) or give it back (sign -1), where it was reserved: a job that is taken up again
-- may belong to another flow or batch by now.
local function reserve(call, sign)
  local amount = sign > 0 and call.estimate or call.held
  local scopes = {'user|' .. call.user .. '|' .. call.month}
  if sign > 0 then
    for _, above in ipairs(lineage(call.job)) do scopes[#scopes + 1] = 'flow|' .. above end
    redis.call('HSET', P .. 's:' .. call.key, 'scopes', cjson.encode(scopes))
  else
    scopes = cjson.decode(redis.call('HGET', P .. 's:' .. call.key, 'scopes') or cjson.encode(scopes))
  end
  for _, scope in ipairs(scopes) do
    if redis.call('HINCRBY', P .. 'held', scope, int(sign * amount)) == 0 then redis.call('HDEL', P .. 'held', scope) end
  end
  redis.call('HSET', P .. 's:' .. call.key, 'held', sign > 0 and int(amount) or 0)
end

-- Make `usd` what a call has cost: the difference is its user's of that month, and its job's and the flows' above it.
local function settle(call, usd)
  if call.held > 0 then reserve(call, -1) end
  local more = usd - call.usd
  if more ~= 0 then
    redis.call('HINCRBY', P .. 'spent', 'user|' .. call.user .. '|' .. call.month, int(more))
    for _, above in ipairs(lineage(call.job)) do
      local place = cost_of(above)
      if place then redis.call('HINCRBY', place, 'cost', int(more)) end
    end
    -- A counter may not fall: what an uncertain call turns out not to have cost stays in it.
    if more > 0 then count('cost|' .. call.provider .. '|' .. call.model, int(more)) end
  end
  redis.call('HSET', P .. 's:' .. call.key, 'usd', int(usd))
  redis.call('ZREM', P .. 'busy:' .. call.model, call.key)
  call.held, call.usd = 0, usd
end

-- A job ends while calls of it may run: nobody will hear how they end, so their estimates count as spent. Operations
-- that the provider has named stay as they are for a job that `may_go_on`: its replay, or another job, asks for them.
local function disown(id, how, may_go_on)
  for _, key in ipairs(redis.call('SMEMBERS', P .. 'sj:' .. id)) do
    local call = load_call(key)
    local open = call and call.job == id and (call.state == 'intended' or call.state == 'started')
    if open and not (may_go_on and call.op ~= '') then
      local ran = call.sent or call.op ~= ''
      settle(call, call.lost + (ran and call.estimate or 0))
      redis.call('HSET', P .. 's:' .. key, 'state', ran and 'uncertain' or 'failed', 'error',
        'its job ' .. how .. ' ' .. (ran and 'while the call ran' or 'before the call was made'))
      count('calls|' .. call.provider .. '|' .. call.model .. '|' .. (ran and 'uncertain' or 'failed'))
    end
  end
  return tonumber(redis.call('HGET', P .. 'j:' .. id, 'cost') or 0)
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
  count('tasks|' .. queue .. '|' .. prepared.task .. '|submitted')
end

-- An attempt has ended in another way than by its commit: what it had prepared to undo is undone.
local function abort_unit(job, at)
  local prepared = redis.call('HGETALL', P .. 'u:' .. job.id)
  for i = 2, #prepared, 2 do submit_undoing(job, cjson.decode(prepared[i]), at) end
  redis.call('DEL', P .. 'u:' .. job.id)
end

local function dead_letter(job, at, why, trace, metadata, result_ttl)
  abort_unit(job, at)
  disown(job.id, 'failed', true)
  move(job, 'FAILED', at, metadata)
  redis.call('HSET', P .. 'j:' .. job.id, 'error', why, 'traceback', trace)
  redis.call('ZADD', P .. 'dlq', int(at), job.id)
  redis.call('RPUSH', P .. 'alerts', job.id)
  wake('tracker')
  count('tasks|' .. job.queue .. '|' .. job.task .. '|failed')
  count('dead')
  ended(job, at, result_ttl)
end

-- The job goes back to its queue. `blame` says that its worker died under it, which may happen so many times.
local function requeue(job, at, reason, blame, result_ttl)
  release(job)
  redis.call('HDEL', P .. 'j:' .. job.id, 'worker', 'progress', 'note')
  if blame then
    abort_unit(job, at)
    job.crashes = redis.call('HINCRBY', P .. 'j:' .. job.id, 'crashes', 1)
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
