#!lua flags=no-writes
-- What is known of a ticket and, while it lives and ARGV[2] asks for it, its envelope.
-- KEYS ticket, envelope; ARGV now, whether the envelope is wanted
local there = redis.call('HMGET', KEYS[1], 'state', 'token_hash', 'expiry')
if not there[1] then return false end
local expiry = tonumber(there[3])
local gone, envelope = 0, false
if expiry <= tonumber(ARGV[1]) then
  gone = 1
elseif ARGV[2] == '1' then
  envelope = redis.call('GET', KEYS[2])
  if not envelope then gone = 1 end
elseif redis.call('EXISTS', KEYS[2]) == 0 then
  gone = 1
end
return {tonumber(there[1]), there[2], expiry, gone, envelope}
