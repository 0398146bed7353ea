-- One question of a proxy again and again: the best case of every cache.
local common = dofile("bench/traffic/common.lua")
local one = common.proxied(common.keys()[1], 7, "/orders", 1)

function request()
  return one
end
