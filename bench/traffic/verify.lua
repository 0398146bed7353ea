-- The headline: a key at random in every request, with the scope it needs and the address of its client, one of three.
-- BENCH_POPULARITY, BENCH_ADDRESSES, BENCH_HEADS and BENCH_JUNK change it, as common.lua says.
local common = dofile("bench/traffic/common.lua")
local post = common.post("/api/v2/api-keys/verify", common.credential)
local pick, host, headers = common.picker(), common.host(), common.headers()

function request()
  local key = pick()
  return post(common.question(key, host()), headers())
end
