#!lua flags=allow-oom
-- Let one relay sweep, until it has not done so for a while.
-- KEYS sweeper; ARGV who asks, milliseconds
local who = redis.call('GET', KEYS[1])
if who and who ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
