#!lua flags=allow-oom
-- Make a channel a tombstone, and end all that waits on it (R86).
-- KEYS channel, idle, live, poll, wake; ARGV cid, what each hello's wake begins with
if redis.call('HEXISTS', KEYS[1], 'polled_day') == 0 then
  if redis.call('HEXISTS', KEYS[1], 'gone') == 1 then
    -- Written again as it is, so that WAIT waits for a replica that may have missed it.
    redis.call('HSET', KEYS[1], 'gone', 1)
  end
  return 0
end
redis.call('HDEL', KEYS[1], 'read_hash', 'write_hash', 'polled_day')
redis.call('HSET', KEYS[1], 'gone', 1)
redis.call('PERSIST', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.set_repl(redis.REPL_NONE)
for _, hid in ipairs(redis.call('HKEYS', KEYS[3])) do
  redis.call('SPUBLISH', ARGV[2] .. hid, 'g')
end
redis.call('UNLINK', KEYS[3], KEYS[4])
redis.call('SPUBLISH', KEYS[5], 'g')
return 1
