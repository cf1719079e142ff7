-- Jobs of rows that were edited while they were made: those that no batch wants are to be cancelled.
-- ARGV: most
-- Returns their ids. One that has ended, or that a batch wants, is struck off the list.

local to_stop = {}
for _, id in ipairs(redis.call('SRANDMEMBER', P .. 'unwanted', ARGV[1])) do
  local job = load(id)
  if not job or not LEGAL[job.state].CANCELLED or is_wanted(id, job.items, '') then
    redis.call('SREM', P .. 'unwanted', id)
  else
    to_stop[#to_stop + 1] = id
  end
end
return to_stop
