-- Names from before version 2, when words were joined as they are: what they lead to is found by its escaped name, too.
-- ARGV: kind, then ids     kind: j: for jobs, b: for batches
-- Returns how many names were added. A name that leads to somebody else's job or batch is left to that one.

local kind, added = ARGV[1], 0
for i = 2, #ARGV do
  local id = ARGV[i]
  local f = try({}, 'HMGET', P .. kind .. id, 'key', 'user', 'rowkey', 'task')
  local key, user, rowkey, task = f[1], f[2] or '', f[3], f[4]
  local names = key and keyed_names(kind, user, key) or {}
  if names[2] then
    local value = try(false, 'GET', names[2])
    if value and string.match(value, '^%S+ (.+)$') == id and not find_keyed(kind, user, key, names[1]) then
      redis.call('SET', names[1], value)
      added = added + 1
    end
  end
  if rowkey and task and escaped(task) ~= task and string.sub(rowkey, 1, #task + 1) == task .. ' ' then
    local now = escaped(task) .. string.sub(rowkey, #task + 1)
    local own = try(false, 'HGET', P .. 'rows:' .. user, rowkey)
    if own then redis.call('HSETNX', P .. 'rows:' .. user, now, own) end
    redis.call('HSET', P .. 'j:' .. id, 'rowkey', now)
    added = added + 1
  end
end
return added
