-- A key at random in every request and nothing else; these keys are bound to no network.
local common = dofile("bench/traffic/common.lua")
local pick = common.picker()
local post = common.post("/api/v2/api-keys/verify", common.credential)

function request()
  return post('{"key":"' .. pick().text .. '"}')
end
