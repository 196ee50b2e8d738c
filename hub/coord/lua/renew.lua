-- KEYS: lease. ARGV: token, life in ms; a life of 0 releases. Returns 1, or 0 if the lease is not the token's.
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
