-- The headline: a key at random in every request, with the scope it needs and the address of its client, one of three.
local common = dofile("bench/traffic/common.lua")
local keys = common.keys()
local post = common.post("/api/v2/api-keys/verify", common.credential)

function request()
  return post(common.question(keys[math.random(#keys)], 7))
end
