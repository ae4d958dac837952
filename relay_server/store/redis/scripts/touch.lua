#!lua flags=allow-oom
-- Note the day on which a channel was polled (R84).
-- KEYS channel, idle; ARGV cid, today, life in seconds
if redis.call('HEXISTS', KEYS[1], 'polled_day') == 0 then return 0 end
redis.call('HSET', KEYS[1], 'polled_day', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return 1
