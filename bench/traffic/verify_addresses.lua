-- As verify.lua, but hardly an address comes twice: 762 of them for each key.
local common = dofile("bench/traffic/common.lua")
local keys = common.keys()
local post = common.post("/api/v2/api-keys/verify", common.credential)

function request()
  return post(common.question(keys[math.random(#keys)], math.random(254)))
end
