-- ARGV: queue what     what: pause (start nothing more) or resume
if ARGV[2] == 'pause' then return redis.call('SADD', P .. 'paused', ARGV[1]) end
wake('tracker')
return redis.call('SREM', P .. 'paused', ARGV[1])
