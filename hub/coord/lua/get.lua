-- KEYS: values of the set, their ends. ARGV: key. Returns the value, or false.
local t = redis.call('TIME')
local till = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not till or tonumber(till) <= t[1] * 1000 + math.floor(t[2] / 1000) then return false end
return redis.call('HGET', KEYS[1], ARGV[1])
