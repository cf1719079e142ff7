-- Let an uncertain call be made again, by the next attempt that wants it.
-- ARGV: key
-- Returns the state in which the call was found, '' when the journal does not have it; only `uncertain` is changed.

local call = load_call(ARGV[1])
if not call then return '' end
if call.state == 'uncertain' then redis.call('HSET', P .. 's:' .. ARGV[1], 'allowed', '1') end
return call.state
